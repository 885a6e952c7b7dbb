"""What a server tells the controller, as the controller hears it, and how replicas are let go."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_dodas.certificates import issue
from jupyter_dodas.inference.control import Control, Demand, Work
from jupyter_dodas.services.base import Endpoint, Link, Report, Site
from jupyter_dodas.services.link import ReportingLink
from jupyter_dodas.testing.waiting import until

pytestmark = pytest.mark.anyio


class Replicas:
    """Replicas that do what a test says."""

    def __init__(self) -> None:
        self.batches: dict[str, int] = {"worker-1": 0, "worker-2": 0}
        self.retired: set[str] = set()
        self.done = Work(0, 0)

    def work(self) -> Work:
        return self.done

    def replicas(self) -> dict[str, int]:
        return dict(self.batches)

    def retire(self, name: str) -> None:
        self.retired.add(name)

    def resume(self, name: str) -> None:
        self.retired.discard(name)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    for name, content in issue("higgs", "page.token").items():
        (folder / name).write_bytes(content)
    return folder


@asynccontextmanager
async def heard(fleet: Replicas, certificates: Path, *, lease: float = 10.0) -> AsyncIterator[Link]:
    """A controller's connection to a server with these replicas."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    control = Control(fleet, target=10, lease=lease)
    await control.open("127.0.0.1", port, certificates)
    link = ReportingLink(lambda: Site("higgs", {"server": Endpoint("127.0.0.1", {"control": port})}, certificates), lambda: None)
    try:
        yield link
    finally:
        await link.close()
        await control.close()


async def told(link: Link, so: Callable[[Report], bool]) -> Report:
    return await until(link.report, within=15, meets=so)


async def test_who_answers_and_that_nothing_is_wanted(certificates: Path) -> None:
    fleet = Replicas()
    async with heard(fleet, certificates) as link:
        report = await told(link, lambda report: bool(report.ready))
        assert report == Report(frozenset({"server", "worker-1", "worker-2"}), wanted=0)
        del fleet.batches["worker-2"]
        await told(link, lambda report: report.ready == {"server", "worker-1"})


async def test_requests_under_way_want_replicas_and_are_activity(certificates: Path) -> None:
    fleet = Replicas()
    async with heard(fleet, certificates) as link:
        fleet.done = Work(40, 35)
        report = await told(link, lambda report: report.wanted == 4)
        assert (report.active, report.last_active, report.busy) == (True, 0.0, frozenset())
        fleet.done = Work(75, 0)
        report = await told(link, lambda report: not report.active)
        assert report.last_active is not None
        assert report.last_active >= 1
        await told(link, lambda report: report.wanted == 0)


async def test_a_request_between_two_looks_is_activity(certificates: Path) -> None:
    fleet = Replicas()
    async with heard(fleet, certificates) as link:
        await told(link, lambda report: bool(report.ready) and report.last_active is None)
        fleet.done = Work(1, 0)
        assert (await told(link, lambda report: report.active)).wanted == 1


async def test_an_upload_is_activity_and_wants_no_replica(certificates: Path) -> None:
    fleet = Replicas()
    async with heard(fleet, certificates) as link:
        fleet.done = replace(fleet.done, changes=1)
        assert (await told(link, lambda report: report.active)).wanted == 0


async def test_a_replica_may_go_once_it_has_no_batches(certificates: Path) -> None:
    fleet = Replicas()
    fleet.batches["worker-2"] = 1
    async with heard(fleet, certificates) as link:
        await told(link, lambda report: bool(report.ready))
        assert list(await link.drain(["worker-1", "worker-2"])) == ["worker-1"]
        assert fleet.retired == {"worker-1", "worker-2"}
        fleet.batches["worker-2"] = 0
        assert list(await link.drain(["worker-2"])) == ["worker-2"]
        assert list(await link.drain(["worker-7"])) == ["worker-7"], "it has gone already"


async def test_a_replica_that_nobody_asks_about_goes_on(certificates: Path) -> None:
    fleet = Replicas()
    async with heard(fleet, certificates, lease=0.3) as link:
        await told(link, lambda report: bool(report.ready))
        await link.drain(["worker-1"])
        assert fleet.retired == {"worker-1"}
        await until(lambda: not fleet.retired, within=10)


async def test_a_look_that_fails_is_no_end(certificates: Path) -> None:
    fleet = Replicas()
    looks = iter([KeyError("worker-3")] * 2)

    def replicas() -> dict[str, int]:
        if (error := next(looks, None)) is not None:
            raise error
        return {"worker-1": 0}

    async with heard(fleet, certificates) as link:
        await told(link, lambda report: bool(report.ready))
        fleet.replicas = replicas  # type: ignore[method-assign]
        await told(link, lambda report: report.ready == {"server", "worker-1"})


@given(st.lists(st.integers(0, 500), min_size=1, max_size=40), st.integers(1, 64))
def test_what_is_wanted_bears_what_was_under_way_on_average(underway: list[int], target: int) -> None:
    demand = Demand(target, window=1e9)
    assert demand.wanted() == 0
    for second, count in enumerate(underway):
        demand.note(float(second), Work(0, count))
    average = sum(underway) / len(underway)
    assert demand.wanted() * target >= average
    assert (demand.wanted() - 1) * target < max(average, 1)


def test_what_is_long_past_is_forgotten() -> None:
    demand = Demand(10, window=3)
    demand.note(0.0, Work(500, 500))
    assert demand.wanted() == 50
    demand.note(3.5, Work(1000, 0))
    assert demand.wanted() == 0
