"""What a store owes everybody: versioned records, no lost write, hints."""

# ruff: noqa: D102 - a test's name says what it shows

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest

from jupyter_dodas.backends.base import Store
from jupyter_dodas.errors import AlreadyExists, NotFound, StaleGeneration
from jupyter_dodas.spec import ClusterSpec, ClusterStatus, InstanceStatus, Intent, Phase, Receipt

__all__ = ["StoreContract", "a_receipt", "a_spec"]


def a_spec(name: str = "higgs", **changes: object) -> ClusterSpec:
    """Return the spec of a new cluster."""
    values = {"name": name, "uid": uuid.uuid4().hex[:12], "kind": "toy", "owner": "alice", "created": time.time()}
    return ClusterSpec.model_validate({**values, **changes})


def a_receipt(name: str = "higgs", **changes: object) -> Receipt:
    """Return what a cluster took."""
    values: dict[str, object] = {"name": name, "uid": "u", "kind": "toy", "owner": "alice", "start": 1.0, "end": 3.0}
    values |= {"wall_seconds": 2.0, "cpu_seconds": 0.5, "peak_memory": 1, "cores": 1, "core_seconds": 2.0}
    return Receipt.model_validate({**values, "outcome": "stopped", **changes})


@pytest.mark.anyio
class StoreContract:
    """Subclass it and supply `store`, and `elsewhere` where a store has more than one holder."""

    patience: ClassVar[float] = 5.0
    """Seconds within which a hint must come; less than those after which a store tells of everything by itself."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Everything here is asyncio's."""
        return "asyncio"

    @pytest.fixture
    def store(self) -> Store:
        """Return a store without records, as the controller holds it."""
        raise NotImplementedError

    @pytest.fixture
    def elsewhere(self, store: Store) -> Store:
        """Return the same store, as another process holds it."""
        return store

    # -- records ------------------------------------------------------------------------------------------------------

    async def test_what_was_created_can_be_read_by_all(self, store: Store, elsewhere: Store) -> None:
        spec = a_spec(options={"workers": 3, "environment": {"variables": {"A": "ü"}}})
        made = await store.create(spec)
        assert made.spec.model_copy(update={"place": ""}) == spec
        assert made.status == ClusterStatus(uid=spec.uid)
        assert await store.get("higgs") == made
        assert await elsewhere.get("higgs") == made
        assert made.tag == f"{spec.uid}.1"

    async def test_a_name_is_given_once(self, store: Store, elsewhere: Store) -> None:
        spec = a_spec()
        await store.create(spec)
        with pytest.raises(AlreadyExists):
            await elsewhere.create(a_spec())
        assert (await store.get("higgs")).spec.uid == spec.uid

    async def test_of_many_who_want_a_name_one_gets_it(self, store: Store, elsewhere: Store) -> None:
        holders = (store, elsewhere) * 4
        made = await asyncio.gather(*(holder.create(a_spec()) for holder in holders), return_exceptions=True)
        assert sorted(type(one).__name__ for one in made) == ["AlreadyExists"] * 7 + ["Record"]

    async def test_an_unknown_name_is_not_found_and_the_likely_one_is_named(self, store: Store) -> None:
        await store.create(a_spec("higgs"))
        with pytest.raises(NotFound) as raised:
            await store.get("higs")
        assert "higgs" in raised.value.cause

    async def test_all_are_listed_by_name(self, store: Store, elsewhere: Store) -> None:
        assert list(await store.list()) == []
        for name in ("w", "higgs", "z-boson"):
            await store.create(a_spec(name))
        assert [record.name for record in await elsewhere.list()] == ["higgs", "w", "z-boson"]

    # -- two writers --------------------------------------------------------------------------------------------------

    async def test_a_change_is_the_next_generation(self, store: Store, elsewhere: Store) -> None:
        spec = (await store.create(a_spec())).spec
        changed = await elsewhere.change(spec.model_copy(update={"intent": Intent.STOP}))
        assert changed.spec.generation == spec.generation + 1
        assert (await store.get("higgs")).spec == changed.spec
        assert changed.spec.intent is Intent.STOP

    async def test_a_change_of_an_old_generation_is_refused_and_changes_nothing(self, store: Store, elsewhere: Store) -> None:
        spec = (await store.create(a_spec())).spec
        first = await store.change(spec.model_copy(update={"keep_until": 1.0}))
        with pytest.raises(StaleGeneration) as raised:
            await elsewhere.change(spec.model_copy(update={"keep_until": 2.0}))
        assert (raised.value.expected, raised.value.found, raised.value.retryable) == (1, 2, True)
        assert (await store.get("higgs")).spec == first.spec

    async def test_of_two_writers_at_once_exactly_one_is_refused(self, store: Store, elsewhere: Store) -> None:
        spec = (await store.create(a_spec())).spec
        for generation in range(1, 20):
            assert spec.generation == generation
            writes = [who.change(spec.model_copy(update={"keep_until": at})) for at, who in enumerate((store, elsewhere))]
            done = await asyncio.gather(*writes, return_exceptions=True)
            assert sorted(type(one).__name__ for one in done) == ["Record", "StaleGeneration"]
            spec = (await store.get("higgs")).spec

    async def test_the_status_and_the_spec_never_meet(self, store: Store, elsewhere: Store) -> None:
        spec = (await store.create(a_spec())).spec
        status = ClusterStatus(uid=spec.uid, phase=Phase.PENDING, observed_generation=1, targets={"worker": 2})
        await store.report("higgs", status)
        changed = await elsewhere.change(spec.model_copy(update={"restarts": 1}))
        assert changed.status == status
        await store.report("higgs", status.model_copy(update={"observed_generation": 2}))
        record = await elsewhere.get("higgs")
        assert (record.spec.restarts, record.spec.generation, record.status.observed_generation) == (1, 2, 2)

    async def test_every_field_of_a_status_survives(self, store: Store, elsewhere: Store) -> None:
        spec = (await store.create(a_spec())).spec
        status = ClusterStatus.model_validate(
            {
                "uid": spec.uid,
                "phase": "failed",
                "history": [{"phase": "starting", "at": 1.5}],
                "steps": [{"name": "Hub answers", "started": 1.0, "ended": 2.0, "usually": 0.5}],
                "instances": {"worker-1": InstanceStatus(role="worker", since=1.0, ports={"comm": 1}, failures=2)},
                "addresses": {"hub": "tls://[::1]:1"},
                "problem": {"code": "queued", "message": "„waits“", "cause": "b", "remedy": "c", "retry": {"workers": 2}},
                "usage": {"cpu_seconds": 0.25, "core_seconds": 1e9},
                "idle_since": 3.25,
            }
        )
        await store.report("higgs", status)
        assert (await elsewhere.get("higgs")).status == status

    # -- the end ------------------------------------------------------------------------------------------------------

    async def test_what_was_removed_is_gone_with_its_secrets(self, store: Store, elsewhere: Store) -> None:
        spec = (await store.create(a_spec())).spec
        await store.keep_secrets("higgs", {"key": b"\x00secret"})
        await elsewhere.remove("higgs", spec.uid)
        assert list(await store.list()) == []
        assert await store.secrets("higgs") == {}
        with pytest.raises(NotFound):
            await store.get("higgs")
        with pytest.raises(NotFound):
            await store.change(spec)
        with pytest.raises(NotFound):
            await store.report("higgs", ClusterStatus(uid=spec.uid))
        await store.remove("higgs", spec.uid)

    async def test_a_successor_is_another_cluster(self, store: Store, elsewhere: Store) -> None:
        first = (await store.create(a_spec())).spec
        await store.keep_secrets("higgs", {"key": b"old"})
        await store.remove("higgs", first.uid)
        second = (await elsewhere.create(a_spec())).spec
        with pytest.raises(NotFound):
            await store.change(first)
        with pytest.raises(NotFound):
            await store.report("higgs", ClusterStatus(uid=first.uid, phase=Phase.READY))
        await store.remove("higgs", first.uid)
        assert (await store.get("higgs")).spec == second
        assert (await store.get("higgs")).status.phase is Phase.PENDING
        assert await store.secrets("higgs") == {}

    # -- secrets and accounts -----------------------------------------------------------------------------------------

    async def test_secrets_are_kept_as_they_are(self, store: Store, elsewhere: Store) -> None:
        await store.create(a_spec())
        assert await store.secrets("higgs") == {}
        secrets = {"ca.pem": b"-----\n", "key": bytes(range(256))}
        await store.keep_secrets("higgs", secrets)
        assert await elsewhere.secrets("higgs") == secrets
        await store.keep_secrets("higgs", secrets)
        assert await elsewhere.secrets("higgs") == secrets

    async def test_a_secret_of_the_place_belongs_to_no_cluster(self, store: Store, elsewhere: Store) -> None:
        assert await store.entrusted("token") == b""
        await elsewhere.entrust("token", b"\x00first")
        await elsewhere.entrust("mandate", b"other")
        assert await store.entrusted("token") == b"\x00first"
        await store.entrust("token", b"second")
        assert await elsewhere.entrusted("token") == b"second"
        for _ in range(2):
            await store.entrust("token", b"")
            assert await elsewhere.entrusted("token") == b""
        assert await store.entrusted("mandate") == b"other"
        assert list(await store.list()) == []

    async def test_accounts_are_read_oldest_first_and_outlive_the_record(self, store: Store, elsewhere: Store) -> None:
        assert list(await store.receipts()) == []
        spec = (await store.create(a_spec())).spec
        lines = [a_receipt(uid=spec.uid), a_receipt("w", uid="v"), a_receipt(uid="w")]
        for line in lines:
            await store.account(line)
        await store.remove("higgs", spec.uid)
        assert list(await elsewhere.receipts()) == lines

    async def test_a_cluster_is_accounted_once(self, store: Store) -> None:
        """A controller that is killed between its account and the removal of the record does both again."""
        for line in (a_receipt(uid="u", end=3.0), a_receipt("w", uid="v"), a_receipt(uid="u", end=4.0)):
            await store.account(line)
        assert list(await store.receipts()) == [a_receipt(uid="u", end=4.0), a_receipt("w", uid="v")]

    # -- hints --------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("watcher", ["store", "elsewhere"])
    async def test_what_another_writes_is_heard(self, store: Store, elsewhere: Store, watcher: str) -> None:
        watching, writing = (store, elsewhere) if watcher == "store" else (elsewhere, store)
        spec = (await store.create(a_spec())).spec
        async with watching.watch() as hints:
            spec = (await writing.change(spec)).spec
            await self._hear(hints, "higgs")
        async with watching.watch() as hints:
            await writing.report("higgs", ClusterStatus(uid=spec.uid, observed_generation=spec.generation))
            await self._hear(hints, "higgs")
        async with watching.watch() as hints:
            await writing.remove("higgs", spec.uid)
            await self._hear(hints, "higgs")

    async def test_many_watch_and_one_who_leaves_harms_nobody(self, store: Store, elsewhere: Store) -> None:
        spec = (await store.create(a_spec())).spec
        async with elsewhere.watch() as staying:
            async with elsewhere.watch() as leaving:
                await store.report("higgs", ClusterStatus(uid=spec.uid))
                await self._hear(leaving, "higgs")
                await self._hear(staying, "higgs")
            await store.report("higgs", ClusterStatus(uid=spec.uid, restarts=1))
            await self._hear(staying, "higgs")

    async def _hear(self, hints: AsyncIterator[str], name: str) -> None:
        """Wait for a hint of this name, or of everything."""
        async with asyncio.timeout(self.patience):
            async for hint in hints:
                if hint in ("", name):
                    return
