"""Where a dashboard may lead."""

from collections.abc import Callable

import pytest

from jupyter_dodas.errors import NotSupported, NotYours
from jupyter_dodas.server.proxy import Target, target_of
from jupyter_dodas.spec import Record
from jupyter_dodas.views import dashboards

Make = Callable[..., Record]


def test_a_dashboard_of_the_cluster(record: Make) -> None:
    assert target_of(record(), "dashboard") == Target("127.0.0.1", 8787)
    assert dashboards(record()) == {"dashboard": "clusters/higgs/ui/dashboard/"}


def test_a_dashboard_that_is_reached_elsewhere(record: Make) -> None:
    made = record()
    assert target_of(made, "dashboard", {"dashboard": "http://127.0.0.1:40001"}) == Target("127.0.0.1", 40001)
    for reached in ({}, {"dashboard": "http://evil.example:8787"}):
        with pytest.raises(NotYours):
            target_of(made, "dashboard", reached)


@pytest.mark.parametrize("name", ["scheduler", "other", "", "127.0.0.1:22", "http://127.0.0.1:22/"])
def test_what_is_no_dashboard(record: Make, name: str) -> None:
    with pytest.raises(NotSupported) as caught:
        target_of(record(), name)
    assert "dashboard" in caught.value.remedy


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:22",  # this machine, but not the cluster
        "http://127.0.0.1",
        "http://localhost:8787",  # a name can mean another address the next time
        "http://evil.example:8787",
        "http://127.0.0.1.evil.example:8787",
        "http://127.0.0.1@evil.example:8787",
        "http://169.254.169.254:8787",
        "http://[fe80::1]:8787",
        "http://[fd00:ec2::254]:8787",
        "http://0.0.0.0:8787",
        "http://10.0.0.1:8787",
        "http://2130706433:8787",
        "http://127.0.0.1:999999",
        "http://127.0.0.1:x",
        "http://[127.0.0.1:8787",
        "http://[::ffff:169.254.169.254]:8787",
    ],
)
def test_addresses_that_are_not_the_clusters_own(record: Make, address: str) -> None:
    with pytest.raises(NotYours):
        target_of(record(address=address), "dashboard")


@pytest.mark.parametrize("host", ["169.254.169.254", "evil.example", "10.0.0.1", "fe80::1"])
def test_an_instance_elsewhere_is_not_reached(record: Make, host: str) -> None:
    made = record()
    scheduler = made.status.instances["scheduler"].model_copy(update={"host": host})
    address = f"http://[{host}]:8787" if ":" in host else f"http://{host}:8787"
    status = made.status.model_copy(update={"instances": {"scheduler": scheduler}, "addresses": {"dashboard": address}})
    with pytest.raises(NotYours):
        target_of(made.model_copy(update={"status": status}), "dashboard")


def in_pods(made: Record, host: str, port: int = 18001) -> Record:
    """Return a record whose scheduler has this host."""
    scheduler = made.status.instances["scheduler"].model_copy(update={"host": host, "ports": {"dashboard": port}})
    status = made.status.model_copy(
        update={"instances": {"scheduler": scheduler}, "addresses": {"dashboard": f"http://{host}:{port}"}}
    )
    return made.model_copy(update={"status": status})


def test_a_pod_of_the_cluster_is_reached_by_name_from_its_namespace(record: Make) -> None:
    made = in_pods(record(), "higgs-scheduler")
    assert target_of(made, "dashboard", made.status.addresses) == Target("higgs-scheduler", 18001)


@pytest.mark.parametrize(
    "host",
    [
        "higgs-scheduler.kube-system",
        "higgs-scheduler.kube-system.svc.cluster.local",
        "higgs-worker-1",  # of no instance that there is
        "top-scheduler",
        "kubernetes.default",
        "higgs-scheduler.evil.example",
        "higgs-scheduler.",
        "metadata",
        "169.254.169.254",
    ],
)
def test_no_other_name_is_reached(record: Make, host: str) -> None:
    made = in_pods(record(), host)
    with pytest.raises(NotYours):
        target_of(made, "dashboard", made.status.addresses)


def test_an_instance_whose_name_is_another_host_is_not_reached(record: Make) -> None:
    made = in_pods(record(), "higgs-x.evil.example")
    instances = {"x.evil.example": made.status.instances["scheduler"]}
    made = made.model_copy(update={"status": made.status.model_copy(update={"instances": instances})})
    with pytest.raises(NotYours):
        target_of(made, "dashboard", made.status.addresses)


@pytest.mark.parametrize(
    "reached", ["http://higgs-worker-1:18001", "http://169.254.169.254:18001", "http://higgs-scheduler.b:18001"]
)
def test_an_address_that_only_the_way_has_changed_is_looked_at_too(record: Make, reached: str) -> None:
    with pytest.raises(NotYours):
        target_of(in_pods(record(), "higgs-scheduler"), "dashboard", {"dashboard": reached})
