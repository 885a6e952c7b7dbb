"""What may be chosen, how a form shows it, and what a name of a user becomes."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest

from jupyter_dodas.errors import InvalidOption, InvalidSetting
from jupyter_dodas.hub import form
from jupyter_dodas.hub.accounts.machine import account_name
from jupyter_dodas.hub.notebooks import notebook_name, safe_name
from jupyter_dodas.hub.profiles import Profiles
from jupyter_dodas.hub.story import Story
from jupyter_dodas.spec import ClusterSpec, ClusterStatus, Phase, Record, Step, check_name

SMALL = {"name": "small", "title": "Small"}
LARGE = {"name": "large", "title": 'La<rge"', "cores": [2, 4], "memory": ["4 GiB", "8 GiB"], "images": ["lab:1", "lab:2"]}


@pytest.fixture
def profiles() -> Profiles:
    return Profiles([SMALL, LARGE])


def test_what_is_not_chosen_is_had_by_default(profiles: Profiles) -> None:
    assert profiles.chosen({}) == {"profile": "small", "cores": 1, "memory": "2 GiB"}
    large = {"profile": "large", "cores": 4, "memory": "4 GiB", "image": "lab:1"}
    assert profiles.chosen({"profile": "large", "cores": 4}) == large


@pytest.mark.parametrize(
    "asked",
    [
        {"profile": "vast"},
        {"profile": ["large"]},
        {"profile": "small", "cores": 2},
        {"profile": "small", "image": "lab:1"},
        {"profile": "large", "image": "evil"},
        {"profile": "large", "memory": "1 TiB"},
        {"profile": "large", "command": ["sh"]},
        {"profile": "large", "cores": "4"},
        {"profile": "large", "cores": True},
    ],
)
def test_what_is_not_offered_is_refused(profiles: Profiles, asked: Mapping[str, Any]) -> None:
    with pytest.raises(InvalidOption) as refused:
        profiles.chosen(asked)
    assert refused.value.remedy


def test_a_choice_that_is_no_longer_offered_is_forgotten(profiles: Profiles) -> None:
    assert profiles.kept({"profile": "large", "cores": 4})["cores"] == 4
    assert profiles.kept({"profile": "gone"}) == profiles.chosen({})


@pytest.mark.parametrize(
    "written", [{}, {"name": "Large", "title": ""}, {**SMALL, "cores": []}, {**SMALL, "memory": ["much"]}, {**SMALL, "gpu": 1}]
)
def test_a_profile_that_is_none_is_told_at_once(written: Mapping[str, Any]) -> None:
    with pytest.raises(InvalidSetting):
        Profiles([written])


def test_a_form_shows_what_was_chosen_and_comes_back_as_it_is(profiles: Profiles) -> None:
    chosen = profiles.chosen({"profile": "large", "memory": "8 GiB"})
    drawn = form.draw(profiles, chosen)
    assert 'value="large" checked' in drawn
    assert '<option value="8 GiB" selected>' in drawn
    assert "La&lt;rge&quot;" in drawn
    assert "1 core" in drawn
    assert "small.cores" not in drawn, "where there is no choice, there is nothing to choose"
    sent = {"profile": ["large"], "large.memory": ["8 GiB"], "large.cores": ["2"], "small.cores": ["many"]}
    assert form.read(profiles, sent) == chosen


@pytest.mark.parametrize("sent", [{"profile": ["large"], "large.cores": ["many"]}, {"profile": ["large"], "large.x": ["1"]}])
def test_a_form_that_somebody_else_wrote_is_refused(profiles: Profiles, sent: Mapping[str, list[str]]) -> None:
    with pytest.raises(InvalidOption):
        form.read(profiles, sent)


@pytest.mark.parametrize("user", ["alice", "a", "a.b", "a-b", "a_b", "1st", "x" * 63, "a@b.org", "-a", "+", "élan"])
@pytest.mark.parametrize("server", ["", "second", "Zweiter Server", "x" * 200, "+"])
def test_names_of_notebooks_can_name_clusters(user: str, server: str) -> None:
    name = notebook_name(user, server)
    assert check_name(name) == name == notebook_name(user, server)


def test_different_servers_have_different_names() -> None:
    pairs = [("a-b", ""), ("a.b", ""), ("a_b", ""), ("a", "b"), ("a", ""), ("b", "a"), ("ab", ""), ("x" * 30, ""), ("x" * 31, "")]
    assert len({notebook_name(*pair) for pair in pairs}) == len(pairs)
    assert safe_name("alice") == "alice"


@pytest.mark.parametrize("user", ["maria.rossi", "m.r", "a" * 60, "alice@example.org"])
def test_nobody_can_choose_the_name_that_somebody_else_has_here(user: str) -> None:
    hers = safe_name(user)
    assert safe_name(hers) != hers
    assert len({hers, safe_name(hers), safe_name(safe_name(hers))}) == 3
    assert account_name("jupyter-{username}", hers) == f"jupyter-{hers}", (
        "it is not cut, which would make it easier to find another"
    )


@pytest.mark.anyio
async def test_a_story_is_told_to_who_comes_late_and_ends() -> None:
    story = Story()
    story.tell("one")
    reader = story.read()
    assert await anext(reader) == "one"
    story.tell("two")
    story.tell("one")
    story.end()
    assert [line async for line in reader] == ["two"]
    assert [line async for line in story.read()] == ["one", "two"]


def test_a_record_that_says_too_much_is_told_in_part() -> None:
    facts = {"name": "notebook-ada", "uid": "u", "kind": "notebook", "owner": "ada", "created": 1.0}
    steps = tuple(Step(name=f"step {number}", started=1.0, ended=2.0) for number in range(20_000))
    story = Story()
    for _ in range(20):
        story.see(Record(spec=ClusterSpec.model_validate(facts), status=ClusterStatus(uid="u", phase=Phase.STARTING, steps=steps)))
    story.end()
    assert len(story.steps()) < 1000
    assert len(asyncio.run(all_of(story))) < 1000


async def all_of(story: Story) -> list[str]:
    return [line async for line in story.read()]


def test_what_is_taken_over_opens_for_as_long_as_somebody_waits_for_that() -> None:
    hours_ago = time.time() - 7200
    facts = {"name": "notebook-ada", "uid": "u", "kind": "notebook", "owner": "ada", "created": hours_ago}
    steps = (Step(name="Server answers", started=hours_ago, ended=hours_ago + 2),)
    story = Story()
    story.see(Record(spec=ClusterSpec.model_validate(facts), status=ClusterStatus(uid="u", phase=Phase.READY, steps=steps)))
    last = story.steps()[-1]
    assert (last.name, last.now) == ("Opening", True)
    assert last.seconds < 3600
