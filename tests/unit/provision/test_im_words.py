"""What is said to the Infrastructure Manager, and what is made of its words, without one."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr

from jupyter_dodas.errors import CredentialsRefused, InvalidSetting, ProvisionFailed
from jupyter_dodas.provision.base import Access, Machine, State, Vm
from jupyter_dodas.provision.clouds import Cloud, DummyCloud, Ec2, KubernetesCloud, OpenStack
from jupyter_dodas.provision.im.authorization import line
from jupyter_dodas.provision.im.machines import dead, fits, surplus
from jupyter_dodas.provision.im.provisioner import InfrastructureManager
from jupyter_dodas.provision.im.results import asked, name, outputs, stamped
from jupyter_dodas.provision.im.states import Do, decide
from jupyter_dodas.provision.im.words import cause, hidden, sentence

# -- credentials -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cloud", "entry"),
    [
        (
            Ec2(name="amazon", username="AK", password=SecretStr("a/b+c==")),
            'id = c-amazon; type = EC2; username = AK; password = "a/b+c=="',
        ),
        (
            OpenStack(name="ost", host="https://ks:5000", idp="iam", project="cms", domain="users"),
            "id = c-ost; type = OpenStack; host = https://ks:5000; username = iam; tenant = oidc; password = TOKEN; "
            "auth_version = 3.x_oidc_access_token; domain = cms; tenant_domain_id = users",
        ),
        (
            KubernetesCloud(name="k8s", host="https://api:6443", token=SecretStr("secret")),
            "id = c-k8s; type = Kubernetes; host = https://api:6443; token = secret",
        ),
        (DummyCloud(name="none"), "id = c-none; type = Dummy"),
    ],
)
def test_a_cloud_is_one_entry(cloud: Cloud, entry: str) -> None:
    assert line("TOKEN", None, [cloud]) == rf"type = InfrastructureManager; token = TOKEN\n{entry}"


def test_an_account_instead_of_a_token() -> None:
    assert line("", ("hub", "word"), []) == "type = InfrastructureManager; username = hub; password = word"
    with pytest.raises(CredentialsRefused):
        line("", None, [])
    with pytest.raises(CredentialsRefused, match="token of its user"):
        line("", ("hub", "word"), [OpenStack(name="ost", host="https://ks:5000", idp="iam", project="cms")])


@pytest.mark.parametrize("value", ["a;b", 'a"b', "a'b", "a\nb", "a\\nb", "file(/x)", "FILE (/x)", "", "ü", "a\0", "x" * 20_000])
def test_what_would_be_more_than_a_value_is_refused(value: str) -> None:
    for clouds in ([Ec2(name="amazon", username="AK", password=SecretStr(value))], []):
        with pytest.raises(CredentialsRefused) as told:
            line("token" if clouds else value, None if value or clouds else ("hub", value), clouds)
        assert not value or value not in str(told.value)


def test_the_file_of_an_account_is_private(tmp_path: Path) -> None:
    file = tmp_path / "account"
    file.write_text("hub\nword")
    file.chmod(0o644)
    with pytest.raises(InvalidSetting, match="Others can read"):
        InfrastructureManager.of({"url": "http://127.0.0.1:1", "account": file}, Access())
    file.chmod(0o600)
    file.write_text("hub")
    with pytest.raises(InvalidSetting, match="cannot be read"):
        InfrastructureManager.of({"url": "http://127.0.0.1:1", "account": file}, Access())
    for options in ({}, {"url": "file:///etc/passwd"}, {"url": "http://a/", "speed": 1}):
        with pytest.raises(InvalidSetting):
            InfrastructureManager.of(options, Access())


# -- states ----------------------------------------------------------------------------------------------------------------


def vms(*states: str) -> Sequence[Vm]:
    return [Vm(id=str(number), role="wn_server" if number else "front_server", state=state) for number, state in enumerate(states)]


@pytest.mark.parametrize(
    ("whole", "states", "log", "late", "found"),
    [
        ("pending", (), "", None, State.MACHINES),
        ("pending", (), "2026-11-22 07:00:00.1: No cloud provider available", None, State.FAILED),
        ("pending", (), "", 5.0, State.FAILED),
        ("unknown", (), "", None, State.FAILED),
        ("deleting", ("configured",), "", None, State.DELETING),
        ("pending", ("running", "pending"), "", None, State.MACHINES),
        ("running", ("running", "configured"), "", None, State.CONFIGURING),
        ("running", ("running", "configured"), "x: Contextualization Error: no SSH", None, State.FAILED),
        ("running", ("running", "configured"), "", 1.0, State.FAILED),
        ("configured", ("configured", "configured"), "", None, State.READY),
        ("unconfigured", ("configured", "unconfigured"), "fatal: [x]: FAILED! => {}", None, State.FAILED),
        ("configured", ("configured", "off"), "", None, State.DEGRADED),
        ("off", ("off", "configured"), "", None, State.FAILED),
        ("failed", ("configured", "failed"), "2026-11-22 07:00:00.1: Error launching: QuotaExceeded", None, State.DEGRADED),
        ("stopped", ("stopped", "stopped"), "", None, State.FAILED),
        ("unknown", ("unknown", "configured"), "", None, State.DEGRADED),
    ],
)
def test_states(whole: str, states: Sequence[str], log: str, late: float | None, found: State) -> None:
    status, do = decide(whole, vms(*states), log, late)
    assert status.state is found
    assert do is Do.NOTHING
    assert (status.problem is not None) == (found in (State.FAILED, State.DEGRADED))


def test_what_was_forgotten_while_it_was_configured_is_configured_again() -> None:
    status, do = decide("unconfigured", vms("unconfigured", "unconfigured"), "2026-11-22 07:00:00.1: Select master VM", None)
    assert (status.state, do) == (State.CONFIGURING, Do.RECONFIGURE)
    status, do = decide("unconfigured", vms("unconfigured"), "", 1.0)
    assert (status.state, do) == (State.FAILED, Do.NOTHING), "but not for ever"


def test_a_quota_is_told_as_one() -> None:
    log = "2026-11-22 07:00:00.1: All VMs failed. No contextualize.\n2026-11-22 07:00:00.2: VcpuLimitExceeded: more than 8 vCPUs\n"
    problem = decide("failed", (), log, None)[0].problem
    assert problem is not None
    assert problem.code == "quota-exceeded"
    assert "more than 8 vCPUs" in problem.cause


# -- words -----------------------------------------------------------------------------------------------------------------


def test_the_cause_is_what_failed_last_and_was_not_ignored() -> None:
    log = (
        '2026-11-22 07:00:00.1: Select master VM\nTASK [one] ***\nfatal: [a]: FAILED! => {"msg": "no matter"}\n...ignoring\n'
        '\nTASK [install k3s] ***\nfatal: [a]: FAILED! => {"changed": false, "msg": "No space\\n left"}\n'
        "\nTASK [three] ***\nok: [a]\nPLAY RECAP\na : ok=3 failed=1\n"
    )
    assert cause(log) == "No space left (in the step 'install k3s')"
    assert cause("TASK [a]\nok: [x] => {}\nx : ok=3 failed=0\n") == ""


def test_refusals_without_their_stack_traces() -> None:
    said = "Error: Traceback (most recent call last):\n  File x\n    y\nInvalidTypeError: Type 'a.b' is not valid.\n"
    assert "InvalidTypeError: Type 'a.b' is not valid." in sentence(said)
    assert "File x" not in sentence(said)
    assert len(sentence("x" * 5000)) < 600


@pytest.mark.parametrize(
    "secret",
    [
        '{"msg": "apiVersion: v1\\nclusters: [a]\\nuser: {token: s3cr3t}"}',
        "BEARER_TOKEN=s3cr3t",
        "password = s3cr3t",
        "K3S_TOKEN: 's3cr3t'",
        "Authorization: Bearer eyJhbGciOi.s3cr3t.sig",
        "-----BEGIN RSA PRIVATE KEY-----\ns3cr3t\n-----END RSA PRIVATE KEY-----",
        '"client-key-data": "s3cr3t"',
        "the word known-s3cr3t",
    ],
)
def test_nothing_secret_is_left_in_a_log(secret: str) -> None:
    found = hidden(f"before\n{secret}\nafter", ["known-s3cr3t"])
    assert "s3cr3t" not in found
    assert re.fullmatch(r"before\n.*\nafter", found, re.DOTALL)


# -- results ---------------------------------------------------------------------------------------------------------------

CONFIG = "apiVersion: v1\nclusters: [{name: a}]\n"


@pytest.mark.parametrize("given", [CONFIG, '{"msg": "apiVersion: v1\\nclusters: [{name: a}]\\n"}', {"msg": CONFIG}])
def test_a_kubeconfig_in_all_its_clothes(given: object) -> None:
    found = outputs({"kubeconfig": given, "front_address": "1.2.3.4", "worker_addresses": ["a", None, "b"], "admin_token": "x"})
    assert found.kubeconfig is not None
    assert found.kubeconfig.get_secret_value() == CONFIG
    assert found.values == {"front_address": "1.2.3.4", "worker_addresses": "a, b"}
    assert outputs({"kubeconfig": None}).kubeconfig is None


@pytest.mark.parametrize("given", ["https://None:6443", "a: [", '{"msg": "nothing"}', "- 1"])
def test_what_is_no_kubeconfig(given: str) -> None:
    with pytest.raises(ProvisionFailed) as told:
        outputs({"kubeconfig": given})
    assert given not in str(told.value)


def test_a_document_says_when_it_was_asked_for() -> None:
    document = stamped("tosca: 1\nmetadata:\n  infra_name: dodas-1\ntopology_template:\n  a: b\n", 1234567890.4)
    assert (asked(document), name(document)) == (1234567890.4, "dodas-1")
    assert document.splitlines()[-1] == "  a: b"
    assert asked("metadata: {}") is None


# -- machines --------------------------------------------------------------------------------------------------------------


def test_the_newest_go_first() -> None:
    there = vms("configured", "configured", "configured", "configured")
    wanted = [Machine(role="front_server", count=1), Machine(role="wn_server", count=1)]
    assert surplus(there, wanted) == ("3", "2")
    assert not fits(there, wanted)
    assert fits(there[:2], wanted)


@pytest.mark.anyio
async def test_who_reaches_nobody_declares_nobody_dead() -> None:
    far = Vm(id="1", state="configured", addresses=("255.255.255.255",))
    near = Vm(id="2", state="configured", addresses=("127.0.0.1",))
    off = Vm(id="3", state="off")
    assert await dead([far, off]) == (off,)
    assert {vm.id for vm in await dead([far, near, off])} == {"1", "3"}
