"""Sessions against the development IAM: one refresh at a time, the next token stored first, nobody lost to an outage."""

import asyncio
import datetime as dt
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import jwt
import pytest

from jupyter_dodas.errors import IamRefused, IamUnreachable
from jupyter_dodas.hub.session import Session, Sessions, Standing
from jupyter_dodas.iam.provider import Grant, Provider
from jupyter_dodas.testing.waiting import until
from tests.unit.iam.served import Served, served

pytestmark = pytest.mark.anyio


class User:
    """A user of a hub whose database takes its time."""

    name = "alice"

    def __init__(self) -> None:
        self.saved: str | None = None

    async def get_auth_state(self) -> dict[str, Any] | None:
        await asyncio.sleep(0)
        found: dict[str, Any] | None = None if self.saved is None else json.loads(self.saved)
        return found

    async def save_auth_state(self, auth_state: Mapping[str, Any] | None) -> None:
        await asyncio.sleep(0.001)
        self.saved = None if auth_state is None else json.dumps(auth_state)

    @property
    def session(self) -> Session:
        return Session.model_validate_json(self.saved or "")


@pytest.fixture
async def iam(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as made:
        yield made


@pytest.fixture
async def user(iam: Served) -> User:
    made = User()
    await sign_in(iam, made)
    return made


async def sign_in(iam: Served, user: User, sessions: Sessions | None = None) -> None:
    grant = await iam.session()
    person = await iam.provider.identify(grant, nonce="n")
    async with (sessions or Sessions(iam.provider, grace=0)).replaced(user.name, lambda: user):
        await user.save_auth_state(Session.begun(grant, person).model_dump())


@pytest.fixture
def move_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Move the one clock of provider and hub."""
    real, moved = time.time, 0.0

    class Moved(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> "Moved":
            return cls.fromtimestamp(time.time(), tz)

    def move(seconds: float) -> None:
        nonlocal moved
        moved += seconds

    monkeypatch.setattr(time, "time", lambda: real() + moved)
    monkeypatch.setattr(jwt.api_jwt, "datetime", Moved)
    return move


async def test_a_session_survives_168_lifetimes_of_its_tokens(iam: Served, user: User, move_clock: Callable[[float], None]) -> None:
    sessions = Sessions(iam.provider, grace=0, clock=lambda: time.time())  # noqa: PLW0108 - as it is at that moment
    lifetime = iam.grants.now.lifetimes.access + 31  # clocks may differ by half a minute
    for _ in range(168):
        move_clock(lifetime)
        assert await iam.provider.access_claims(user.session.access_token) is None, "the token of before has expired"
        finding = await sessions.confirm(user)
        assert finding.standing is Standing.CONFIRMED, finding.why
        assert await iam.provider.access_claims(user.session.access_token)


async def test_however_many_ask_no_refresh_token_is_used_twice(iam: Served, user: User) -> None:
    sessions = Sessions(iam.provider, grace=0)
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(sessions.confirm(user)) for _ in range(8)]
        for _ in range(8):
            group.create_task(sessions.delegate(user, audience="https://a", scope=["storage.read:/cms"], by_exchange=False))
    assert {one.result().standing for one in asked} == {Standing.CONFIRMED}
    assert (await sessions.confirm(user)).standing is Standing.CONFIRMED


async def test_a_request_that_is_given_up_uses_no_token_up(iam: Served, user: User) -> None:
    # The lock holds; what the authenticator adds is that nobody's going away cancels the refresh itself.
    from jupyter_dodas.iam.flights import Flights

    sessions, flights = Sessions(iam.provider, grace=0), Flights[Any]()
    for wait in (0.0, 0.001, 0.003, 0.01):
        with suppress(TimeoutError):
            await asyncio.wait_for(flights.join("alice", lambda: sessions.confirm(user)), wait)
        assert (await flights.join("alice", lambda: sessions.confirm(user))).standing is Standing.CONFIRMED


async def test_a_sign_in_during_a_refresh_is_the_session_that_counts(iam: Served, user: User) -> None:
    sessions = Sessions(iam.provider, grace=0)
    for _ in range(5):
        refresh = asyncio.ensure_future(sessions.confirm(user))
        await asyncio.sleep(0)
        await sign_in(iam, user, sessions)
        await refresh
        assert (await sessions.confirm(user)).standing is Standing.CONFIRMED
        # The newest counts, and those before are revoked.
        await until(lambda: [family.revoked for family in iam.grants.file.state.families.values()], within=5, meets=only_last_holds)


def only_last_holds(revoked: list[bool]) -> bool:
    return all(revoked[:-1]) and not revoked[-1]


async def test_who_is_suspended_has_no_session_any_more(iam: Served, user: User) -> None:
    sessions = Sessions(iam.provider, grace=0)
    file = iam.folder / "users.toml"
    file.write_text(file.read_text().replace('groups = ["cms"]', 'groups = ["cms"]\nsuspended = true'))
    assert (await sessions.confirm(user)).standing is Standing.ENDED
    assert user.saved is None
    with pytest.raises(IamRefused):
        await sessions.delegate(user, audience="https://a", scope=["storage.read:/cms"], by_exchange=False)


async def test_an_outage_keeps_a_session_for_its_grace(iam: Served, user: User) -> None:
    away = Provider("http://127.0.0.1:9", "hub", lambda: "top", patience=0.5)
    now = time.time()
    sessions = Sessions(away, grace=100, clock=lambda: now)
    assert (await sessions.confirm(user)).standing is Standing.KEPT
    assert not user.session.in_doubt, "nothing was sent, so nothing can have been done"
    with pytest.raises(IamUnreachable):
        await sessions.delegate(user, audience="https://a", scope=["storage.read:/cms"], by_exchange=False)
    now += 101
    assert (await sessions.confirm(user)).standing is Standing.ENDED
    assert user.saved is not None, "it may come back"
    await away.close()


class Lossy(Provider):
    """Its answers to a refresh get lost on the way, after the provider has made them."""

    lossy = True

    async def renew(self, refresh_token: str, *, scope: Iterable[str] = (), audience: str = "") -> Grant:
        grant = await super().renew(refresh_token, scope=scope, audience=audience)
        if self.lossy:
            raise IamUnreachable("iam", "No reply within 5 s.", in_doubt=True)
        return grant


async def test_an_answer_that_got_lost_costs_a_sign_in_and_nobodys_work(iam: Served, user: User) -> None:
    provider = Lossy(iam.issuer, "hub", lambda: "top")
    sessions = Sessions(provider, grace=10_000, clock=lambda: time.time())  # noqa: PLW0108 - as it is at that moment
    assert (await sessions.confirm(user)).standing is Standing.KEPT
    provider.lossy = False
    # The provider takes the old token for stolen, and revokes all of it, the access token too.
    assert [(await sessions.confirm(user)).standing for _ in range(3)] == [Standing.DOUBTFUL] * 3
    await sign_in(iam, user, sessions)
    assert (await sessions.confirm(user)).standing is Standing.CONFIRMED
    await provider.close()


async def test_doubt_does_not_outlast_the_grace(iam: Served, user: User, move_clock: Callable[[float], None]) -> None:
    provider = Lossy(iam.issuer, "hub", lambda: "top")
    sessions = Sessions(provider, grace=10_000, clock=lambda: time.time())  # noqa: PLW0108 - as it is at that moment
    assert (await sessions.confirm(user)).standing is Standing.KEPT
    provider.lossy = False
    move_clock(4000)  # the access token has expired
    assert [(await sessions.confirm(user)).standing for _ in range(3)] == [Standing.DOUBTFUL] * 3
    move_clock(6001)
    assert (await sessions.confirm(user)).standing is Standing.ENDED
    assert user.saved is None
    await sign_in(iam, user, sessions)
    assert (await sessions.confirm(user)).standing is Standing.CONFIRMED
    await provider.close()


async def test_who_is_refused_without_any_doubt_is_not_kept(iam: Served, user: User) -> None:
    await iam.provider.revoke(user.session.refresh_token or "")
    assert (await Sessions(iam.provider, grace=10_000).confirm(user)).standing is Standing.ENDED


async def test_a_secret_of_ours_that_is_wrong_is_no_fault_of_the_users(iam: Served, user: User) -> None:
    wrong = Provider(iam.issuer, "hub", lambda: "wrong")
    finding = await Sessions(wrong, grace=100).confirm(user)
    assert (finding.standing, "invalid_client" in finding.why) == (Standing.KEPT, True)
    assert user.saved is not None
    await wrong.close()


async def test_a_session_that_has_ended_is_revoked_at_the_provider(iam: Served, user: User) -> None:
    token = user.session.refresh_token or ""
    await Sessions(iam.provider, grace=0).end(user)
    assert user.saved is None
    assert not (await iam.introspect(token))["active"]


async def test_without_a_refresh_token_a_session_lasts_as_long_as_its_access_token(
    iam: Served, user: User, move_clock: Callable[[float], None]
) -> None:
    await user.save_auth_state(user.session.model_copy(update={"refresh_token": None}).model_dump())
    sessions = Sessions(iam.provider, grace=0, clock=lambda: time.time())  # noqa: PLW0108 - as it is at that moment
    assert (await sessions.confirm(user)).standing is Standing.CONFIRMED
    move_clock(4000)
    assert (await sessions.confirm(user)).standing is Standing.ENDED


async def test_what_another_authenticator_left_is_no_session(iam: Served, user: User) -> None:
    await user.save_auth_state({"access_token": "x", "oauth_user": {}})
    assert (await Sessions(iam.provider, grace=0).confirm(user)).standing is Standing.ENDED


async def test_no_token_is_in_what_is_printed_of_a_session(user: User) -> None:
    shown = f"{user.session!r} {user.session}"
    assert user.session.access_token not in shown
    assert (user.session.refresh_token or "?") not in shown
