"""What a pool's manager keeps of other pools, and what is seen of a token before it is used. No daemons."""

import asyncio
import base64
import json
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from jupyter_dodas.errors import BadInput
from jupyter_dodas.services.htcondor.face.flocking import foreign
from jupyter_dodas.services.htcondor.neighbours import Neighbour, Neighbours
from jupyter_dodas.services.htcondor.tokens import mint, new_key
from jupyter_dodas.testing.waiting import until

TOKEN = mint(new_key(), "second.0123456789ab", "flock-first@second.0123456789ab", ("ADVERTISE_SCHEDD", "READ"), now=0)
SECOND = Neighbour("second", "127.0.0.1:1234", TOKEN)
THIRD = Neighbour("third", "condor.example.org:9618", TOKEN)


class Kept:
    """The folders of a manager, which is started again with each `Neighbours`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.told = folder, 0

    def manager(self) -> Neighbours:
        made = Neighbours(self.folder, self.folder / "flock.d", "127.0.0.1:9618", self._changed)
        made.lay()
        return made

    def _changed(self) -> None:
        self.told += 1

    @property
    def text(self) -> str:
        return (self.folder / "flock.d" / "flock.conf").read_text()

    @property
    def tokens(self) -> Sequence[str]:
        return sorted(file.name for file in (self.folder / "tokens").glob("*"))


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_pools_are_asked_in_their_order_and_survive_the_manager(kept: Kept) -> None:
    manager = kept.manager()
    assert kept.text.startswith("FLOCK_TO = ,\n")
    manager.add(THIRD)
    manager.add(SECOND)
    assert kept.told == 2
    assert "FLOCK_TO = condor.example.org:9618, 127.0.0.1:1234\n" in kept.text
    (kept.folder / "tokens" / "flock-second").unlink()
    (kept.folder / "flock.d" / "flock.conf").unlink()
    again = kept.manager()
    assert again.names() == [THIRD, SECOND]
    assert kept.tokens == ["flock-second", "flock-third"]
    assert "condor.example.org:9618, 127.0.0.1:1234\n" in kept.text


def test_a_pool_that_is_removed_leaves_nothing(kept: Kept) -> None:
    manager = kept.manager()
    manager.add(SECOND)
    manager.remove("second")
    assert kept.tokens == []
    assert kept.text.startswith("FLOCK_TO = ,\n")
    assert not list(kept.folder.rglob("*second*"))
    with pytest.raises(BadInput, match="second"):
        manager.remove("second")


def test_only_the_owner_can_read_tokens(kept: Kept) -> None:
    kept.manager().add(SECOND)
    holding = [file for file in kept.folder.rglob("*") if file.is_file() and TOKEN in file.read_text()]
    assert len(holding) == 2
    assert {stat.S_IMODE(file.stat().st_mode) for file in holding} == {0o600}
    assert TOKEN not in repr(SECOND)


def test_the_manager_is_asked_over_its_page(kept: Kept) -> None:
    acts = kept.manager().acts()
    added = acts["flock"]({"name": "second", "address": "127.0.0.1:1234", "token": TOKEN})
    assert added == acts["flocks"]({}) == {"flocks": {"second": "127.0.0.1:1234"}, "file": str(kept.folder / "address")}
    assert Path(added["file"]).read_text() == "127.0.0.1:9618"
    assert acts["unflock"]({"name": "second"})["flocks"] == {}


@pytest.mark.parametrize("said", [{}, {"name": "second"}, {"name": 1, "address": "a:1", "token": TOKEN}, {"more": TOKEN}])
def test_what_is_described_in_another_way_is_refused(kept: Kept, said: dict[str, object]) -> None:
    with pytest.raises(BadInput) as raised:
        kept.manager().acts()["flock"](said)
    assert TOKEN not in str(raised.value)


def test_the_same_pool_again_disturbs_nobody(kept: Kept) -> None:
    manager = kept.manager()
    manager.add(SECOND)
    manager.add(SECOND)
    assert kept.told == 1


@pytest.mark.anyio
async def test_a_pool_that_moves_is_followed(kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jupyter_dodas.services.htcondor.neighbours._EVERY", 0.01)
    file = tmp_path / "address"
    manager = kept.manager()
    manager.add(Neighbour("second", "127.0.0.1:1234", TOKEN, str(file)))
    following = asyncio.create_task(manager.follow())
    file.write_text("127.0.0.1:4321\n")
    await until(lambda: "127.0.0.1:4321" in kept.text, within=10)
    file.write_text("")
    await asyncio.sleep(0.05)
    assert "127.0.0.1:4321" in kept.text
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


def test_what_cannot_be_read_stops_nothing(kept: Kept) -> None:
    kept.manager().add(SECOND)
    file = kept.folder / "neighbours.json"
    injected = {"name": "bbb", "address": "x:1\nFOO = 1", "token": TOKEN}
    file.write_text(json.dumps([{"strange": 1}, injected, *json.loads(file.read_text())]))
    assert kept.manager().names() == [SECOND]
    file.write_text('[{"name": "aaa"')
    assert kept.manager().names() == []


@pytest.mark.parametrize(
    "strange",
    [
        Neighbour("../../etc", "127.0.0.1:1", TOKEN),
        Neighbour("", "127.0.0.1:1", TOKEN),
        Neighbour("a\nb", "127.0.0.1:1", TOKEN),
        Neighbour("second", "127.0.0.1", TOKEN),
        Neighbour("second", "127.0.0.1:0", TOKEN),
        Neighbour("second", "127.0.0.1:70000", TOKEN),
        Neighbour("second", "127.0.0.1:1\nALLOW_WRITE = *:1", TOKEN),
        Neighbour("second", "$(HOSTNAME):1", TOKEN),
        Neighbour("second", "127.0.0.1:1, evil:1", TOKEN),
        Neighbour("second", "127.0.0.1:1", ""),
        Neighbour("second", "127.0.0.1:1", "a.b.c\nd.e.f"),
        Neighbour("second", "127.0.0.1:1", f"{TOKEN}{'a' * 20_000}"),
    ],
)
def test_what_would_not_do_is_refused(kept: Kept, strange: Neighbour) -> None:
    manager = kept.manager()
    with pytest.raises(BadInput) as raised:
        manager.add(strange)
    assert raised.value.remedy
    assert strange.token not in str(raised.value) or not strange.token
    assert manager.names() == []


def _token(**claims: object) -> str:
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({}, claims, {}))


@pytest.mark.parametrize(
    ("address", "token", "name", "says"),
    [
        ("here", TOKEN, None, "host:port"),
        ("here:99999", TOKEN, None, "host:port"),
        ("here:9618", "", None, "three parts"),
        ("here:9618", "a.b", None, "three parts"),
        ("here:9618", "a.!!.c", None, "three parts"),
        ("here:9618", _token(exp=999), None, "expired"),
        ("here:9618", _token(exp="never"), None, "three parts"),
        ("here:9618", _token(scope="condor:/READ condor:/WRITE"), None, "ADVERTISE_SCHEDD"),
        ("here:9618", TOKEN, "A pool", "Small letters"),
    ],
)
def test_a_token_that_will_not_do_is_told_before_it_is_sent(address: str, token: str, name: str | None, says: str) -> None:
    with pytest.raises(BadInput) as raised:
        foreign(address, token, name, now=1000.0)
    assert says in raised.value.cause
    assert not token or token not in str(raised.value)


def test_somebody_elses_pool_is_called_by_its_address() -> None:
    assert foreign("Condor.Example.org:9618", f" {TOKEN}\n", None, now=1000.0) == Neighbour(
        "condor-example-org-9618", "Condor.Example.org:9618", TOKEN
    )
