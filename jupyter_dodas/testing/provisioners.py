"""What a provisioner owes to whoever has it make infrastructures."""

# ruff: noqa: D102 - a test's name says what it shows

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import ClassVar, Final

import pytest

from jupyter_dodas.errors import DodasError, NotSupported
from jupyter_dodas.provision.base import Order, Provisioner, State, Status
from jupyter_dodas.testing.waiting import until

__all__ = ["ProvisionerContract"]

_SOON: Final = 120.0
"""Seconds within which an infrastructure of these tests is ready, or gone."""


class Tracked:
    """A provisioner, with what these tests have created."""

    def __init__(self, inner: Provisioner) -> None:
        self.inner, self.created = inner, set[str]()

    async def create(self, order: Order) -> str:
        """Create one, to be deleted after the test whatever happens."""
        identifier = await self.inner.create(order)
        self.created.add(identifier)
        return identifier

    async def reached(self, identifier: str, *wanted: State) -> Status:
        """Wait until it has one of these states."""
        return await until(lambda: self.inner.status(identifier), within=_SOON, meets=lambda found: found.state in wanted)

    async def gone(self, identifier: str) -> None:
        """Delete it, as often as it takes."""

        async def look() -> State:
            await _patiently(lambda: self.inner.delete(identifier))
            return (await self.inner.status(identifier)).state

        await until(look, within=_SOON, meets=lambda state: state is State.GONE)
        self.created.discard(identifier)


@pytest.mark.anyio
class ProvisionerContract:
    """Subclass it and supply `provisioner`, `again` and `order`."""

    keeps: ClassVar[bool] = True
    """Whether something is made that another one of them finds."""
    scales: ClassVar[bool] = True
    """Whether it can be made larger and smaller."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Everything here is asyncio's."""
        return "asyncio"

    @pytest.fixture
    def provisioner(self) -> Provisioner:
        """Return one that has made nothing of these tests."""
        raise NotImplementedError

    @pytest.fixture
    def again(self) -> Provisioner:
        """Return another one with the same options and access, as there is after a restart."""
        raise NotImplementedError

    def order(self, name: str, workers: int = 1) -> Order:
        """Return an order for a front end and workers, with ``very-secret-word`` as its secrets."""
        raise NotImplementedError

    @pytest.fixture
    async def there(self, provisioner: Provisioner) -> AsyncIterator[Tracked]:
        """Return it; what the test creates by this is deleted after it."""
        tracked = Tracked(provisioner)
        yield tracked
        for identifier in list(tracked.created):
            await tracked.gone(identifier)

    # -- begin ---------------------------------------------------------------------------------------------------------

    async def test_nothing_is_there_at_first(self, provisioner: Provisioner) -> None:
        assert list(await provisioner.find("dodas-nothing")) == []
        if self.keeps:
            assert (await provisioner.status("unheard-of")).state is State.GONE
            with pytest.raises(DodasError):
                await provisioner.outputs("unheard-of")
        await provisioner.delete("unheard-of")

    @pytest.mark.parametrize("identifier", ["", "../version", "a b", "a/b?c#d", "ü", "x" * 300, "a\r\nb", "%2e%2e"])
    async def test_nobody_is_led_astray_by_a_strange_identifier(self, provisioner: Provisioner, identifier: str) -> None:
        if self.keeps:
            assert (await provisioner.status(identifier)).state is State.GONE
        await provisioner.delete(identifier)

    async def test_a_plan_creates_nothing(self, provisioner: Provisioner) -> None:
        plan = await provisioner.plan(self.order("dodas-planned", workers=2))
        assert plan.machines or plan.notes
        assert not plan.exceeded
        assert list(await provisioner.find("dodas-planned")) == []

    async def test_what_is_created_becomes_ready_and_gives_something(self, there: Tracked) -> None:
        identifier = await there.create(self.order("dodas-ready"))
        assert identifier
        found = await there.reached(identifier, State.READY, State.FAILED)
        assert (found.state, found.problem) == (State.READY, None)
        given = await there.inner.outputs(identifier)
        assert given.values or given.kubeconfig is not None
        assert "apiVersion" not in repr(given)
        log = await there.inner.log(identifier)
        assert "very-secret-word" not in f"{log}{given.values}{found}"

    async def test_creating_again_creates_one(self, there: Tracked) -> None:
        order = self.order("dodas-once")
        first = await there.create(order)
        assert await there.create(order) == first
        assert list(await there.inner.find("dodas-once")) == [first]

    async def test_it_is_found_after_a_restart(self, there: Tracked, again: Provisioner) -> None:
        identifier = await there.create(self.order("dodas-found"))
        other = await there.create(self.order("dodas-found-2"))
        assert other != identifier
        await there.reached(identifier, State.READY)
        if self.keeps:
            assert list(await again.find("dodas-found")) == [identifier]
        assert (await again.status(identifier)).state is State.READY
        assert (await again.outputs(identifier)).values == (await there.inner.outputs(identifier)).values

    # -- change --------------------------------------------------------------------------------------------------------

    async def test_it_is_made_larger_and_smaller(self, there: Tracked) -> None:
        identifier = await there.create(self.order("dodas-scaled"))
        before = await there.reached(identifier, State.READY)
        if not self.scales:
            with pytest.raises(NotSupported):
                await there.inner.scale(identifier, self.order("dodas-scaled", workers=2))
            return
        first = {vm.id for vm in before.machines}
        for workers, survivors in ((2, first), (2, first), (1, first)):
            order = self.order("dodas-scaled", workers=workers)
            await _patiently(lambda order=order: there.inner.scale(identifier, order))  # type: ignore[misc]
            found = await there.reached(identifier, State.READY, State.FAILED)
            assert (found.state, len(found.machines)) == (State.READY, 1 + workers)
            assert survivors <= {vm.id for vm in found.machines}, "the oldest stay: they do the work"

    # -- end -----------------------------------------------------------------------------------------------------------

    async def test_what_is_deleted_is_gone(self, there: Tracked, again: Provisioner) -> None:
        identifier = await there.create(self.order("dodas-gone"))
        await there.reached(identifier, State.READY)
        await there.gone(identifier)
        await there.inner.delete(identifier)
        assert list(await there.inner.find("dodas-gone")) == []
        if self.keeps:
            assert (await again.status(identifier)).state is State.GONE

    async def test_it_may_be_deleted_at_any_moment(self, there: Tracked) -> None:
        identifier = await there.create(self.order("dodas-brief"))
        await there.gone(identifier)
        assert list(await there.inner.find("dodas-brief")) == []

    async def test_many_at_once(self, there: Tracked) -> None:
        orders = [self.order(f"dodas-many-{number}") for number in range(5)]
        identifiers = await asyncio.gather(*(there.create(order) for order in orders))
        assert len(set(identifiers)) == len(orders)
        await asyncio.gather(*(there.gone(identifier) for identifier in identifiers))
        for order in orders:
            assert list(await there.inner.find(order.name)) == []


async def _patiently(what: Callable[[], Awaitable[None]]) -> None:
    """Ask until nobody says any more that it is too early."""

    async def asked() -> str:
        try:
            await what()
        except DodasError as error:
            if not error.retryable:
                raise
            return str(error)
        return ""

    await until(asked, within=_SOON, meets=lambda said: not said)
