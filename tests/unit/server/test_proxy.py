"""Where a dashboard may lead."""

from collections.abc import Callable

import pytest

from jupyter_dodas.errors import NotSupported, NotYours
from jupyter_dodas.server.proxy import Target, target_of
from jupyter_dodas.server.views import dashboards
from jupyter_dodas.spec import Record

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
