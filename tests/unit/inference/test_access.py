"""Who calls is found out once, by the token alone, and what does not hold is refused with a sentence."""

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from jupyter_dodas.errors import DodasError, IamUnreachable, InvalidSetting, NotAllowed, Unauthenticated
from jupyter_dodas.inference.http import access as accesses
from jupyter_dodas.inference.http.access import OWNER, Access, Right, require
from jupyter_dodas.inference.settings import Settings
from tests.unit.iam.forger import Forger

pytestmark = pytest.mark.anyio

HERE = "https://models.example.org"
TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
async def forger() -> AsyncIterator[Forger]:
    async with Forger() as made:
        yield made


@pytest.fixture
async def make(forger: Forger, tmp_path: Path) -> AsyncIterator[Callable[..., Access]]:
    """Make what takes the forger's tokens."""
    made: list[Access] = []

    def access(clock: Callable[[], float] = time.time, **settings: Any) -> Access:
        given = {"folder": tmp_path, "issuer": forger.issuer, "audience": (HERE,), **settings}
        made.append(Access(Settings(**given), clock))
        return made[-1]

    yield access
    for one in made:
        await one.close()


def bearer(token: str) -> bytes:
    return b"Bearer " + token.encode()


def signed(forger: Forger, **claims: Any) -> bytes:
    return bearer(forger.sign({"sub": "s", "iss": forger.issuer, "aud": HERE, **claims}))


async def test_a_token_of_the_issuer_lets_its_owner_predict(forger: Forger, make: Callable[..., Access]) -> None:
    caller = await make().identify(signed(forger))
    assert (caller.name, caller.rights, caller.administrator) == ("s@127.0.0.1", frozenset({Right.PREDICT}), False)


async def test_a_verdict_is_kept_until_the_token_expires(forger: Forger, make: Callable[..., Access]) -> None:
    now = time.time()
    access = make(lambda: now)
    header = signed(forger, exp=int(now) + 100)
    assert access.known(header) is None
    caller = await access.identify(header)
    asked = list(forger.asked)
    assert access.known(header) is caller
    assert forger.asked == asked
    now += 99
    assert access.known(header) is caller
    now += 2
    assert access.known(header) is None


REFUSED: dict[str, tuple[dict[str, Any], type[DodasError], str]] = {
    "another audience": ({"aud": "https://other.example.org"}, Unauthenticated, "for another service"),
    "no audience": ({"aud": None}, Unauthenticated, "for another service"),
    "another issuer": ({"iss": "https://other.example.org"}, Unauthenticated, "another issuer"),
    "nobody": ({"sub": None}, Unauthenticated, "does not hold"),
    "expired": ({"exp": 1}, Unauthenticated, "has expired"),
    "not yet": ({"nbf": 2**33}, Unauthenticated, "not valid yet"),
    "no end": ({"exp": None}, Unauthenticated, "does not hold"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_token_that_does_not_hold_is_refused(forger: Forger, make: Callable[..., Access], case: str) -> None:
    claims, error, why = REFUSED[case]
    with pytest.raises(error, match=why):
        await make().identify(signed(forger, **claims))


async def test_a_bad_token_does_not_make_the_issuer_work_again(forger: Forger, make: Callable[..., Access]) -> None:
    access = make()
    forger.headers["kid"] = "another"
    header = signed(forger)
    with pytest.raises(Unauthenticated):
        await access.identify(header)
    asked = list(forger.asked)
    for _ in range(100):
        with pytest.raises(Unauthenticated, match="does not have"):
            await access.identify(header)
    assert forger.asked == asked


@pytest.mark.parametrize(
    "header", [b"", b"Bearer", b"Bearer ", b"Basic YTpi", b"Bearer a b c", b"Bearer \xff\xfe", b"Bearer " + b"a" * 20_000]
)
async def test_what_is_no_token_is_refused(make: Callable[..., Access], header: bytes) -> None:
    with pytest.raises(Unauthenticated):
        await make().identify(header)


async def test_an_issuer_that_does_not_answer_is_not_the_fault_of_the_caller(forger: Forger, make: Callable[..., Access]) -> None:
    access = make()
    header = signed(forger)
    forger.body = b"no JSON"
    with pytest.raises(IamUnreachable):
        await access.identify(header)
    forger.body = None
    assert (await access.identify(header)).name == "s@127.0.0.1"  # that was not held against the token


async def test_scopes_and_groups_give_rights(forger: Forger, make: Callable[..., Access]) -> None:
    access = make(
        scopes=("models",),
        groups=("cms",),
        upload_groups=("cms/trainers",),
        publish_scopes=("models.publish",),
        administrators=("it",),
    )

    async def rights(scope: str, *groups: str) -> set[str]:
        caller = await access.identify(
            signed(forger, **{"scope": scope, "wlcg.ver": "1.0", "wlcg.groups": [f"/{one}" for one in groups]})
        )
        assert caller.administrator == ("it" in groups)
        return {str(right) for right in caller.rights}

    assert await rights("models", "cms") == {"predict"}
    assert await rights("models", "cms/trainers") == {"predict", "upload"}
    assert await rights("models models.publish", "cms") == {"predict", "publish"}
    assert await rights("models", "it") == {"predict", "upload", "publish"}
    with pytest.raises(NotAllowed, match="lacks the scope models"):
        await rights("openid", "cms")
    with pytest.raises(NotAllowed, match="members of cms"):
        await rights("models", "cmsx", "atlas")


async def test_groups_that_the_token_does_not_say_are_asked_of_the_issuer(forger: Forger, make: Callable[..., Access]) -> None:
    assert Right.UPLOAD in (await make(upload_groups=("cms",)).identify(signed(forger))).rights
    forger.userinfo = {"sub": "another", "groups": ["cms"]}
    assert Right.UPLOAD not in (await make(upload_groups=("cms",)).identify(signed(forger))).rights


async def test_a_star_is_everybody_with_a_token(forger: Forger, make: Callable[..., Access]) -> None:
    caller = await make(upload_groups=("*",)).identify(signed(forger))
    assert caller.rights == {Right.PREDICT, Right.UPLOAD}


async def test_the_own_token_may_do_everything(make: Callable[..., Access], tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    access = make(token_file=tmp_path / "token", issuer=None, audience=())
    assert await access.identify(bearer(TOKEN)) is OWNER
    assert access.known(bearer(TOKEN)) is OWNER
    with pytest.raises(Unauthenticated, match="not the token of the endpoint") as refused:
        await access.identify(bearer(TOKEN[:-1]))
    assert TOKEN[:-1] not in str(refused.value)


@pytest.mark.parametrize(("policy", "rights"), [("predict", {"predict"}), ("all", {"predict", "upload", "publish"})])
async def test_without_a_token_the_policy_counts(make: Callable[..., Access], policy: str, rights: set[str]) -> None:
    caller = await make(anonymous=policy).identify(None)
    assert (caller.name, {str(right) for right in caller.rights}) == ("anonymous", rights)
    assert not caller.administrator


async def test_without_a_token_nobody_may_do_anything_by_default(make: Callable[..., Access]) -> None:
    with pytest.raises(Unauthenticated, match="wants a token"):
        make().known(None)


async def test_only_so_many_verdicts_are_kept(forger: Forger, make: Callable[..., Access], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accesses, "_MOST", 2)
    access = make()
    headers = [signed(forger, sub=f"s{number}") for number in range(4)]
    for header in headers:
        await access.identify(header)
    assert [access.known(header) is not None for header in headers] == [False, False, True, True]


async def test_no_token_is_kept_as_it_is(make: Callable[..., Access], tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    access = make(token_file=tmp_path / "token")
    await access.identify(bearer(TOKEN))
    assert TOKEN not in str(vars(access))


@pytest.mark.parametrize("content", ["", "short\n"])
async def test_a_token_that_could_be_guessed_is_refused(make: Callable[..., Access], tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    with pytest.raises(InvalidSetting, match="too short"):
        make(token_file=tmp_path / "token")


def test_who_lacks_a_right_hears_what_is_allowed() -> None:
    require(OWNER, Right.PUBLISH)
    with pytest.raises(NotAllowed, match="anonymous may not publish here") as refused:
        require(accesses.ANONYMOUS["predict"], Right.PUBLISH)
    assert "predict" in refused.value.cause
