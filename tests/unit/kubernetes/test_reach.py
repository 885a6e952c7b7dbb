"""Where the addresses of a record lead from here."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jupyter_dodas.backends.kubernetes.reach import Reach
from jupyter_dodas.spec import ClusterStatus, InstanceStatus, Record
from jupyter_dodas.testing.memory import MemoryStore
from jupyter_dodas.testing.stores import a_spec

pytestmark = pytest.mark.anyio


class Inside:
    """A pod of the namespace `own`, whose clusters are in the namespace `there`."""

    inside = True

    def __init__(self, own: str, there: str) -> None:
        self.own_namespace, self.namespace = own, there


class OneLife(MemoryStore):
    """Records without successors."""

    async def secrets_of(self, name: str, _uid: str) -> Mapping[str, bytes]:
        return await self.secrets(name)


def record(**addresses: str) -> Record:
    spec = a_spec()
    scheduler = InstanceStatus(role="scheduler", since=time.time(), host="higgs-scheduler", ports={"comm": 18000, "ui": 18001})
    return Record(spec=spec, status=ClusterStatus(uid=spec.uid, instances={"scheduler": scheduler}, addresses=addresses))


@pytest.mark.parametrize(("there", "host"), [("a", "higgs-scheduler"), ("b", "higgs-scheduler.b")])
async def test_inside_names_are_enough(there: str, host: str) -> None:
    api: Any = Inside("a", there)
    store: Any = OneLife()
    addresses = {"scheduler": "tls://{}:18000", "ui": "http://{}:18001/x", "queue": "{}:18000"}
    made = record(**{name: address.format("higgs-scheduler") for name, address in addresses.items()})
    found = await Reach(api, store).connection(made)
    assert found.addresses == {name: address.format(host) for name, address in addresses.items()}


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:22", "http://higgs-scheduler:1800", "http://higgs-scheduler", "http://w:18000", "127.0.0.1:22", "w"],
)
async def test_what_leads_to_no_instance_is_left_out(address: str) -> None:
    api: Any = Inside("a", "a")
    store: Any = OneLife()
    assert (await Reach(api, store).connection(record(dashboard=address))).addresses == {}


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "169.254.169.254;", "169.254.169.254%2f", "hub.jupyterhub.svc", "notebook-bob.user-bob", "::1", "x_", "x."],
)
async def test_a_record_leads_to_no_other_host_whatever_its_user_writes(host: str) -> None:
    api: Any = Inside("hub", "b")
    store: Any = OneLife()
    forged = record(http=f"http://[{host}]:18000" if ":" in host else f"http://{host}:18000")
    instance = forged.status.instances["scheduler"].model_copy(update={"host": host})
    forged = forged.model_copy(update={"status": forged.status.model_copy(update={"instances": {"scheduler": instance}})})
    assert (await Reach(api, store).connection(forged)).addresses == {}


async def test_secrets_are_for_their_owner_alone() -> None:
    api: Any = Inside("a", "a")
    store: Any = OneLife()
    made = record()
    await store.create(made.spec)
    await store.keep_secrets("higgs", {"key": b"x"})
    reach = Reach(api, store)
    folder = (await reach.connection(made)).secrets
    assert (folder / "key").read_bytes() == b"x"
    assert [path.stat().st_mode & 0o077 for path in (folder, folder / "key", folder.parent)] == [0, 0, 0]
    parent: Path = folder.parent
    del reach
    assert not parent.exists()
