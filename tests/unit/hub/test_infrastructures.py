"""What the service of infrastructures decides: for every wish and whatever is seen, whenever it is killed."""

import json
import logging
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_dodas.errors import Busy, InvalidSetting
from jupyter_dodas.hub.infrastructures.configuration import Configuration
from jupyter_dodas.hub.infrastructures.decisions import TABLE, Decision, Do, Seen, Wish, decide, due, pause, seen, wish
from jupyter_dodas.hub.infrastructures.problems import trouble
from jupyter_dodas.hub.infrastructures.records import Record
from jupyter_dodas.hub.infrastructures.replies import Pace
from jupyter_dodas.hub.infrastructures.steps import advance, ended
from jupyter_dodas.hub.infrastructures.vault import Vault
from jupyter_dodas.provision.base import State
from jupyter_dodas.spec import Phase, Step

DEADLINE = 3600.0


def record(**more: object) -> Record:
    base: dict[str, object] = {"uid": "0" * 12, "owner": "alice", "name": "higgs", "provisioner": "im", "template": "kubernetes"}
    return Record.model_validate({**base, "digest": "d", "created": 0.0, "workers": 1, "applied": 1, **more})


def test_the_table_is_total() -> None:
    assert all((one, what) in TABLE for one, what in product(Wish, Seen))


@pytest.mark.parametrize("what", Seen)
def test_what_is_not_wanted_is_only_taken_away(what: Seen) -> None:
    done = decide(Wish.ABSENT, what)
    assert done.do in (Do.DELETE, Do.FIND, Do.CLEAR, Do.FORGET)
    assert done.phase in (Phase.STOPPING, Phase.STOPPED)
    # A record never goes before the provisioner has nothing left.
    assert (done.do is Do.FORGET) == (what is Seen.UNASKED)


@pytest.mark.parametrize("what", Seen)
def test_nothing_that_works_is_deleted_unasked(what: Seen) -> None:
    assert decide(Wish.PRESENT, what).do not in (Do.DELETE, Do.CLEAR, Do.FORGET)
    assert decide(Wish.KEPT_WRECK, what).do is not Do.DELETE


@pytest.mark.parametrize("what", Seen)
def test_nothing_is_created_of_which_there_may_be_one(what: Seen) -> None:
    creates = [one for one in Wish if decide(one, what).do is Do.CREATE]
    assert creates == ([Wish.PRESENT] if what is Seen.UNASKED else [])


states = st.none() | st.sampled_from(State)
records = st.builds(
    record,
    asked=st.none() | st.just(1.0),
    wanted=st.sampled_from(["present", "absent"]),
    failed=st.booleans(),
    workers=st.integers(0, 3),
    ready=st.none() | st.just(5.0),
    current=st.booleans(),
)


@given(records, states, st.floats(0, 1e5), st.booleans())
def test_whatever_is_found_there_is_something_to_do(one: Record, state: State | None, now: float, keep: bool) -> None:
    what = seen(one, state, now, deadline=DEADLINE)
    done = decide(wish(one, keep=keep), what)
    assert isinstance(done, Decision)
    if one.ready is not None and one.wanted == "present" and not one.failed and state not in (None, State.GONE, State.DELETING):
        assert done.do is not Do.GIVE_UP, "what people work on is not given up"


@given(records, states, st.floats(0, 1e5), st.integers(1, 200))
def test_looks_are_neither_idle_nor_too_many(one: Record, state: State | None, now: float, busy: int) -> None:
    what = seen(one, state, now, deadline=DEADLINE)
    wait = pause(decide(wish(one, keep=False), what), one, now, busy=busy)
    assert 0.5 <= wait <= 30
    assert wait >= min(30, busy / 40) or wait == 30


class World:
    """A provisioner that forgets answers, and a service that is killed between any two lines."""

    def __init__(self) -> None:
        self.there: list[str] = []
        self.record: Record | None = record(applied=None)
        self.made = 0

    def change(self, **new: object) -> None:
        assert self.record is not None
        self.record = self.record.model_copy(update=new)

    def turn(self, killed_at: int) -> None:
        """One round; after `killed_at` of its writes and calls it is killed."""
        assert self.record is not None
        state = None
        if self.record.identifier:
            state = State.READY if self.record.identifier in self.there else State.GONE
        done = decide(wish(self.record, keep=False), seen(self.record, state, 10.0, deadline=DEADLINE))
        for number, act in enumerate(self.acts(done.do)):
            if number == killed_at:
                return
            act()

    def acts(self, do: Do) -> list:  # type: ignore[type-arg]
        match do:
            case Do.CREATE:
                identifier = f"i{self.made}"

                def create() -> None:
                    self.made += 1
                    self.there.append(identifier)

                return [lambda: self.change(asked=1.0, applied=1), create, lambda: self.change(identifier=identifier)]
            case Do.FIND | Do.CLEAR:
                found = self.there[:1]
                gone = {"identifier": "", "asked": None}
                return [lambda: self.change(**({"identifier": found[0]} if found else gone))]
            case Do.READ:
                return [lambda: self.change(current=True, ready=5.0)]
            case Do.DELETE:
                return [lambda: self.there.remove(self.record.identifier)]  # type: ignore[union-attr]
            case Do.GIVE_UP:
                return [lambda: self.change(failed=True)]
            case Do.FORGET:
                return [lambda: setattr(self, "record", None)]
        return []


@given(st.lists(st.integers(0, 3), max_size=20), st.lists(st.integers(0, 3), max_size=20))
def test_whenever_it_is_killed_there_is_one_and_then_none(before: list[int], after: list[int]) -> None:
    world = World()
    for killed_at in [*before, *[9] * 8]:
        world.turn(killed_at)
        assert len(world.there) <= 1
    assert world.there == [world.record.identifier]  # type: ignore[union-attr]
    world.change(wanted="absent")
    for killed_at in [*after, *[9] * 8]:
        if world.record is not None:
            world.turn(killed_at)
    assert world.record is None
    assert world.there == []


@pytest.mark.parametrize(
    ("more", "left"),
    [
        ({"linger": None, "settled": 10.0}, None),
        ({"linger": 60.0, "settled": None}, None),
        ({"linger": 60.0, "settled": 10.0, "unheld": 0.0}, 50.0),
        ({"linger": 60.0, "settled": 10.0, "unheld": 15.0}, 55.0),
        ({"linger": 0.0, "settled": 10.0, "unheld": 15.0}, 0.0),
        ({"linger": 0.0, "settled": 10.0, "holders": ("alice/",)}, None),
        ({"linger": 0.0, "settled": 10.0, "failed": True}, None),
        ({"linger": 0.0, "settled": 10.0, "wanted": "absent"}, None),
    ],
)
def test_what_nobody_uses_stays_for_a_while(more: dict[str, object], left: float | None) -> None:
    assert due(record(**more), 20.0) == left


def test_a_size_that_fails_costs_nobody_what_they_work_on() -> None:
    assert seen(record(ready=5.0), State.FAILED, 10.0, deadline=DEADLINE) is Seen.DEGRADED
    assert seen(record(), State.FAILED, 10.0, deadline=DEADLINE) is Seen.FAILED
    assert seen(record(ready=5.0, workers=2), State.FAILED, 10.0, deadline=DEADLINE) is Seen.OUTDATED


def test_one_that_lacks_machines_is_completed_once() -> None:
    assert seen(record(), State.READY, 10.0, deadline=DEADLINE, lacks=True) is Seen.OUTDATED
    assert seen(record(whole=True), State.READY, 10.0, deadline=DEADLINE, lacks=True) is Seen.UNREAD
    assert seen(record(), State.CONFIGURING, 10.0, deadline=DEADLINE, lacks=True) is Seen.CONFIGURING


def test_steps_go_on_and_never_back() -> None:
    steps = advance((), "Queued", 1.0, {})
    steps = advance(steps, "Machines", 3.0, {"Machines": 60.0})
    assert steps == (Step(name="Queued", started=1.0, ended=3.0), Step(name="Machines", started=3.0, usually=60.0))
    assert advance(steps, "Queued", 4.0, {}) == steps
    assert [one.ended for one in ended(steps, 9.0)] == [3.0, 9.0]
    fast = advance((Step(name="Queued", started=1.0),), "Kubernetes", 3.0, {})
    assert [(one.name, one.ended) for one in fast] == [("Queued", 3.0), ("Machines", 3.0), ("Kubernetes", None)]


@pytest.mark.parametrize("what", [Seen.GONE, Seen.DELETING, Seen.OVERDUE, Seen.FAILED])
def test_every_failure_says_why_and_what_to_do(what: Seen) -> None:
    told = trouble(what, None, DEADLINE)
    assert told.message
    assert told.cause
    assert told.remedy


def test_secrets_are_opened_by_any_key_and_by_no_other(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    vault = Vault.at(file)
    closed = vault.close({"password": "hunter2"})
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"hunter2" not in closed
    Vault.at(tmp_path / "others")
    file.write_text((tmp_path / "others").read_text() + file.read_text())
    assert Vault.at(file).open(Vault.at(file).turn(closed)) == {"password": "hunter2"}
    with pytest.raises(InvalidSetting, match="cannot be read"):
        Vault.at(tmp_path / "others").open(closed)
    file.chmod(0o640)
    with pytest.raises(InvalidSetting, match="keys"):
        Vault.at(file)


def test_a_configuration_that_will_not_do_is_told_without_its_values(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "infrastructures.json"
    file.write_text(json.dumps({"provisioners": [{"name": "im", "kind": "im", "wrong": "hunter2"}]}))
    with pytest.raises(InvalidSetting) as raised:
        Configuration.read(file)
    assert "wrong" in str(raised.value)
    assert "hunter2" not in str(raised.value) + caplog.text


def test_one_user_keeps_nobody_else_waiting() -> None:
    pace = Pace(rate=1.0, burst=2.0)
    pace.take("alice", 0.0)
    pace.take("alice", 0.0)
    with pytest.raises(Busy):
        pace.take("alice", 0.5)
    pace.take("bob", 0.5)
    pace.take("alice", 1.5)
