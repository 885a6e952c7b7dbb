"""An infrastructure as a server of the hub has it: made, shared, replaced, taken back, with a service that goes away in between."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from jupyter_dodas.errors import InfrastructureExists, InfrastructureNotFound, ProvisionerUnreachable, ProvisionFailed
from jupyter_dodas.hub.grounds import tenancy as tenancies
from jupyter_dodas.hub.grounds.base import unseen
from jupyter_dodas.hub.grounds.tenancy import Client, Tenancy
from jupyter_dodas.hub.story import Failure, Story
from jupyter_dodas.provision.views import Change, InfrastructureView, Wanted
from jupyter_dodas.spec import Phase, Problem, Step
from jupyter_dodas.testing.waiting import until

pytestmark = pytest.mark.anyio

READY = (Phase.PENDING, Phase.STARTING, Phase.READY)
WANTED = Wanted(name="ada-made", template="kubernetes", inputs={"workers": 2}, linger=0)


class Service:
    """The service in memory: the life of every infrastructure is a list of phases."""

    def __init__(self, *life: Phase) -> None:
        self.life = life or READY
        self.there: dict[str, InfrastructureView] = {}
        self.deleted: list[str] = []
        self.away = 0
        self.gate: asyncio.Event | None = None
        self.changed = asyncio.Event()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Client]:
        yield self

    async def _answers(self, name: str = "") -> Any:
        await asyncio.sleep(0)
        if self.away > 0:
            self.away -= 1
            raise ProvisionerUnreachable("away")
        if name and name not in self.there:
            raise InfrastructureNotFound(name)
        return self.there.get(name)

    async def get(self, name: str, *, newer_than: int | None = None) -> InfrastructureView:
        found: InfrastructureView = await self._answers(name)
        return found

    async def follow(self, name: str) -> AsyncIterator[InfrastructureView]:
        for phase in self.life:
            found = await self.get(name)
            problem = Problem(code="x", message="No machines", cause="full", remedy="wait") if phase is Phase.FAILED else None
            self.there[name] = found.model_copy(update={"phase": phase, "problem": problem})
            yield self.there[name]
        await (self.gate or asyncio.Event()).wait()
        await self._answers(name)

    async def kubeconfig(self, name: str) -> str:
        await self._answers(name)
        return f"of {name}"

    async def log(self, name: str) -> str:
        await self._answers(name)
        return "fatal: no machines"

    async def create(self, wanted: Wanted) -> InfrastructureView:
        await self._answers()
        known = self.there.get(wanted.name)
        if known is not None and known.phase is not Phase.FAILED and known.wanted == "present":
            if known.template != wanted.template:
                raise InfrastructureExists(wanted.name, "other inputs")
            return known
        about = {"owner": "ada", "digest": "d", "provisioner": "im", "created": time.time(), "template": wanted.template}
        uid = f"{len(self.deleted)}-{time.monotonic_ns()}"
        workers = wanted.inputs["workers"]
        made = InfrastructureView(name=wanted.name, uid=uid, inputs=wanted.inputs, workers=workers, **about)
        self.there[wanted.name] = made
        return self.there[wanted.name]

    async def change(self, name: str, change: Change) -> InfrastructureView:
        found = await self._answers(name)
        self.there[name] = found.model_copy(update={"workers": change.workers})
        return self.there[name]

    async def delete(self, name: str) -> InfrastructureView:
        await self._answers(name)
        self.deleted.append(name)
        return self.there.pop(name)

    async def hold(self, name: str, holder: str) -> None:
        found = await self._answers(name)
        self.there[name] = found.model_copy(update={"holders": (*found.holders, holder)})

    async def release(self, name: str, holder: str) -> None:
        found = await self._answers(name)
        self.there[name] = found.model_copy(update={"holders": tuple(one for one in found.holders if one != holder)})


def tenancy(service: Service, server: str = "", wanted: Wanted = WANTED) -> Tenancy:
    return Tenancy(service, wanted, f"ada/{server}", logging.getLogger(__name__))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenancies, "_PAUSE", 0.0)


async def test_it_is_made_held_and_left_to_the_service() -> None:
    service = Service()
    mine = tenancy(service)
    found, kubeconfig = await mine.have(unseen)
    assert (found.phase, kubeconfig) == (Phase.READY, "of ada-made")
    assert service.there["ada-made"].holders == ("ada/",)
    await mine.release()
    assert not service.there["ada-made"].holders
    assert service.deleted == [], "how long it stays is not the hub's business"


async def test_a_service_that_is_away_for_a_moment_is_waited_for() -> None:
    service = Service()
    service.away = 5
    await tenancy(service).have(unseen)


async def cancelled(service: Service, mine: Tenancy, reached: Callable[[], bool]) -> None:
    start = asyncio.ensure_future(mine.have(unseen))
    await until(reached, within=10)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    await mine.abandon()


async def test_who_cancels_leaves_nothing_of_what_was_begun() -> None:
    service = Service(Phase.PENDING, Phase.STARTING)
    await cancelled(service, tenancy(service), lambda: bool(service.there.get("ada-made") and service.there["ada-made"].holders))
    assert service.there == {}


async def test_who_cancels_leaves_what_others_hold_or_have_begun() -> None:
    service = Service()
    other = tenancy(service, "other")
    await other.have(unseen)
    service.life = (Phase.STARTING,)
    await cancelled(service, tenancy(service), lambda: len(service.there["ada-made"].holders) == 2)
    assert service.there["ada-made"].holders == ("ada/other",)
    await other.release()
    await cancelled(service, tenancy(service), lambda: bool(service.there["ada-made"].holders))
    assert service.deleted == [], "it was there before"


async def test_what_is_cancelled_while_the_service_is_away_is_taken_back_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenancies, "_SOON", 0.0)
    service = Service(Phase.STARTING)
    mine = tenancy(service)
    start = asyncio.ensure_future(mine.have(unseen))
    await until(lambda: bool(service.there.get("ada-made") and service.there["ada-made"].holders), within=10)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    service.away = 50
    await mine.abandon()
    await until(lambda: service.there == {}, within=10)


async def test_another_one_goes_first_unless_somebody_needs_it() -> None:
    service = Service()
    before = tenancy(service, "other")
    await before.have(unseen)
    mine = tenancy(service, wanted=WANTED.model_copy(update={"template": "spark"}))
    with pytest.raises(InfrastructureExists) as raised:
        await mine.have(unseen)
    assert "workers = 2" in raised.value.cause
    assert "ada/other runs on it" in raised.value.cause
    assert "stop ada/other first" in raised.value.remedy
    await before.release()
    await mine.have(unseen)
    assert service.there["ada-made"].template == "spark"


async def test_it_grows_for_who_asks_for_more_and_shrinks_for_nobody_else_s_sake() -> None:
    service = Service()
    sizes = {size: WANTED.model_copy(update={"inputs": {"workers": size}}) for size in (2, 4)}
    first, second = tenancy(service, "first", sizes[2]), tenancy(service, "second", sizes[4])
    await first.have(unseen)
    await second.have(unseen)
    assert service.there["ada-made"].workers == 4
    await tenancy(service, "third", sizes[2]).have(unseen)
    assert service.there["ada-made"].workers == 4
    for holder in ("first", "second", "third"):
        await tenancy(service, holder).release()
    await first.have(unseen)
    assert service.there["ada-made"].workers == 2


async def test_a_failure_has_a_sentence_a_cause_a_remedy_and_a_report() -> None:
    service = Service(Phase.STARTING, Phase.FAILED)
    with pytest.raises(ProvisionFailed) as raised:
        await tenancy(service).have(unseen)
    failure = Failure.of(raised.value)
    assert (failure.message, failure.cause, failure.remedy) == ("No machines", "full", "wait")
    assert "fatal: no machines" in failure.report
    assert "workers = 2" in failure.report
    service.life = READY
    found, _ = await tenancy(service).have(unseen)
    assert found.phase is Phase.READY, "the next start makes another one"


async def test_one_that_is_deleted_below_the_wait_is_made_anew() -> None:
    service = Service(Phase.STARTING)
    service.gate = asyncio.Event()
    start = asyncio.ensure_future(tenancy(service).have(unseen))
    await until(lambda: bool(service.there.get("ada-made") and service.there["ada-made"].holders), within=10)
    del service.there["ada-made"]
    service.life = READY
    service.gate.set()
    found, _ = await start
    assert found.phase is Phase.READY


# -- what somebody who waits sees -------------------------------------------------------------------------------------


def lines(story: Story) -> list[tuple[str, str, str]]:
    return [(one.name, "done" if one.done else "now" if one.now else "", one.usually) for one in story.steps()]


def test_phases_are_named_before_they_begin_with_what_they_took_before() -> None:
    story = Story()
    story.expect(("Queued", "Machines", "Kubernetes", "Controller"), {"Machines": 90.0, "Lab": 4.0}.get)
    assert lines(story) == [
        ("Queued", "now", ""),
        ("Machines", "", "1 min 30 s"),
        ("Kubernetes", "", ""),
        ("Controller", "", ""),
        ("Lab", "", "4.0 s"),
    ]
    now = time.time()
    queued = Step(name="Queued", started=now, ended=now + 1)
    story.prepare([queued, Step(name="Machines", started=now + 1, usually=60.0)], [])
    assert lines(story)[:2] == [("Queued", "done", ""), ("Machines", "now", "1 min")]
    story.prepare([], ["The service is away."])
    assert lines(story)[1] == ("Machines", "now", "1 min"), "what was known stays"
    assert story.notes == ("The service is away.",)
    done = [Step(name=name, started=now + n, ended=now + n + 1) for n, name in enumerate(("Queued", "Machines", "Kubernetes"))]
    story.prepare(done, [])
    assert [one[1] for one in lines(story)] == ["done", "done", "done", "now", ""]
    story.prepare([*done, Step(name="Controller", started=now + 3, ended=now + 4)], [])
    assert lines(story)[-1] == ("Lab", "now", "4.0 s")
    assert story.durations() == {name: pytest.approx(1.0) for name in ("Queued", "Machines", "Kubernetes", "Controller")}


def test_a_phase_that_nobody_has_seen_is_over_once_a_later_one_has_begun() -> None:
    story = Story()
    story.expect(("Queued", "Machines", "Kubernetes"), lambda _: None)
    now = time.time()
    story.prepare([Step(name="Queued", started=now, ended=now), Step(name="Kubernetes", started=now)], [])
    assert [one[:2] for one in lines(story)] == [("Queued", "done"), ("Machines", "done"), ("Kubernetes", "now"), ("Lab", "")]


def test_what_was_there_before_took_nothing_of_this_start() -> None:
    story = Story()
    story.expect(("Queued", "Machines"), lambda _: None)
    hour = time.time() - 3600
    story.prepare([Step(name="Queued", started=hour, ended=hour + 1), Step(name="Machines", started=hour + 1, ended=hour + 90)], [])
    assert [(one.name, one.done, one.took) for one in story.steps()[:2]] == [("Queued", True, ""), ("Machines", True, "")]
    assert story.durations() == {}
