"""The access token of a place: asked of the hub, renewed, and removed when it is to be."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from jupyter_dodas.backends.base import MANDATE, TOKEN
from jupyter_dodas.controller import bearer
from jupyter_dodas.controller.bearer import Bearer
from jupyter_dodas.iam.mandate import Mandate
from jupyter_dodas.services.base import Instance
from jupyter_dodas.testing.memory import MemoryRunner, MemoryStore
from jupyter_dodas.testing.waiting import until
from tests.unit.iam.desk import Desk

pytestmark = pytest.mark.anyio


class Place:
    """A place where something runs, and a clock that a test moves."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.now = desk, 1e9
        self.store, self.runner = MemoryStore(), MemoryRunner()
        self.bearer = Bearer(self.store, self.runner, lambda: self.now)

    async def entrust(self, key: str = "key") -> None:
        await self.store.entrust(MANDATE, Mandate(self.desk.url, key).to_bytes())

    async def token(self) -> bytes:
        return await self.store.entrusted(TOKEN)

    async def go_on(self, seconds: float) -> list[float]:
        """Have it look whenever it wants to, for so long, and where nothing stirs; return when it did."""
        end, looks = self.now + seconds, [self.now]
        while True:
            pause = await self.bearer.look()
            if pause is None or self.now + pause > end:
                self.now = end
                return looks
            self.now += pause
            looks.append(self.now)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    desk = Desk()
    made = Place(desk)
    await made.runner.apply(Instance("scheduler", "higgs", "scheduler", ("true",)))
    yield made
    desk.close()


async def test_a_token_is_renewed_before_half_of_it_is_gone(place: Place) -> None:
    place.desk.lifetime = 400
    await place.entrust()
    await place.go_on(199)
    assert await place.token() == b"t1"
    await place.go_on(2)
    assert await place.token() == b"t2"
    assert place.desk.asked == [{"audience": "", "scopes": []}] * 2


@pytest.mark.parametrize(("due", "asked_after"), [(100, 100), (12 * 3600, 300)])
async def test_one_that_came_with_the_mandate_is_good_until_it_is_due(place: Place, due: float, asked_after: float) -> None:
    await place.store.entrust(MANDATE, Mandate(place.desk.url, "key", place.now + due).to_bytes())
    await place.store.entrust(TOKEN, b"came along")
    await place.go_on(asked_after - 1)
    assert (place.desk.asked, await place.token()) == ([], b"came along")
    await place.go_on(2)
    assert await place.token() == b"t1"


async def test_where_none_came_with_the_mandate_it_is_asked_for_at_once(place: Place) -> None:
    await place.store.entrust(MANDATE, Mandate(place.desk.url, "key", place.now + 100).to_bytes())
    await place.go_on(1)
    assert await place.token() == b"t1"


async def test_of_one_that_lasts_it_is_asked_often_whether_its_user_may_still_have_it(place: Place) -> None:
    place.desk.lifetime = 12 * 3600
    await place.entrust()
    await place.go_on(3600)
    assert 12 <= len(place.desk.asked) <= 14


async def test_while_the_hub_is_away_the_token_stays_and_the_hub_is_not_pressed(place: Place) -> None:
    await place.entrust()
    await place.go_on(1)
    place.desk.status = 503
    await place.go_on(3600)
    assert await place.token() == b"t1"
    asked = len(place.desk.asked)
    assert asked < 40
    place.desk.status = 200
    await place.go_on(121)
    assert await place.token() == f"t{asked + 1}".encode()


@pytest.mark.parametrize("status", [403, 404])
async def test_a_hub_that_refuses_has_the_token_removed(place: Place, status: int) -> None:
    await place.entrust()
    await place.go_on(1)
    place.desk.status = status
    await place.go_on(301)
    assert await place.token() == b""
    asked = len(place.desk.asked)
    await place.go_on(3600)
    assert len(place.desk.asked) - asked < 40
    place.desk.status = 200
    await place.go_on(121)
    assert (await place.token()).startswith(b"t"), "who has signed in again has none"


async def test_a_mandate_that_is_taken_back_takes_the_token_with_it(place: Place) -> None:
    await place.entrust()
    await place.go_on(1)
    asked = len(place.desk.asked)
    await place.store.entrust(MANDATE, b"")
    await place.go_on(301)
    assert await place.token() == b""
    assert len(place.desk.asked) == asked


async def test_a_new_mandate_is_used_as_soon_as_it_is_seen(place: Place) -> None:
    await place.entrust("revoked")
    await place.go_on(600)
    assert await place.token() == b""
    await place.entrust()
    await place.go_on(121)
    assert (await place.token()).startswith(b"t")


async def test_a_successor_goes_on_and_removes_what_was_left(place: Place) -> None:
    await place.store.entrust(TOKEN, b"left")
    await place.bearer.look()
    assert await place.token() == b""
    await place.entrust()
    place.bearer = Bearer(place.store, place.runner, lambda: place.now)
    await place.bearer.look()
    assert await place.token() == b"t1"


async def test_where_there_is_no_mandate_nothing_is_done_and_it_is_not_looked_for(place: Place) -> None:
    assert len(await place.go_on(3600)) == 1
    assert place.store._place.entrusted == {}
    await place.store.entrust(MANDATE, b"no JSON")
    await place.go_on(600)
    assert (place.desk.asked, await place.token()) == ([], b"")


async def test_a_mandate_that_comes_with_a_start_is_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bearer, "_SOON", 0.01)
    running = asyncio.create_task(place.bearer.run())
    await place.entrust()
    place.bearer.stir()
    await until(place.token, within=10, meets=lambda token: token == b"t1")
    running.cancel()


async def test_where_nothing_runs_nobody_is_asked(place: Place) -> None:
    place.runner.die()
    await place.entrust()
    await place.go_on(3600)
    assert place.desk.asked == []


async def test_trouble_ends_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = asyncio.Event()

    async def fail(name: str) -> bytes:
        tried.set()
        raise OSError("no such disk")

    monkeypatch.setattr(place.store, "entrusted", fail)
    running = asyncio.create_task(place.bearer.run())
    await asyncio.wait_for(tried.wait(), 10)
    await asyncio.sleep(0)
    assert not running.done()
    running.cancel()


def test_a_controller_imports_what_speaks_http_only_with_a_mandate() -> None:
    code = "import sys, jupyter_dodas.controller.__main__; print(sys.modules.keys() & {'httpx', 'jupyter_dodas.iam.bearer'})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
