"""Cards as widgets, at a real place: traits that follow the cluster, and what a card may ask for."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import jupyter_dodas as dodas
from jupyter_dodas.errors import NotFound
from jupyter_dodas.testing.waiting import blocking_until
from jupyter_dodas.views import PictureView
from jupyter_dodas.widgets import ClusterWidget, Launcher
from jupyter_dodas.widgets.card import Card
from tests.place import Place

WITHIN = 30


class Screen:
    """The other end of a widget: it takes what a browser would get, and says what a card would."""

    def __init__(self, widget: Card, monkeypatch: pytest.MonkeyPatch) -> None:
        self.widget = widget
        self.heard: list[dict[str, Any]] = []
        monkeypatch.setattr(widget.comm, "publish_msg", self._take)

    def _take(self, kind: str, data: Any = None, **_: object) -> None:
        if kind == "comm_msg" and data["method"] == "custom":
            self.heard.append(data["content"])

    def say(self, content: object) -> None:
        """Send a message, as a card does."""
        self.widget.comm.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})

    def ask(self, do: str, given: object = None) -> dict[str, Any]:
        """Ask for something, and wait for the last reply."""
        name = f"{do}-{len(self.heard)}"
        self.say({"id": name, "do": do, "given": given})
        assert {"id": name, "heard": True} in self.heard, "a busy kernel would be told from one that works on it"
        return blocking_until(lambda: self.last(name), within=WITHIN)

    def last(self, name: str) -> dict[str, Any]:
        """The end of something that was asked for; nothing before."""
        return next((one for one in self.heard if one["id"] == name and ("ok" in one or "problem" in one)), {})

    def said(self, name: str) -> list[Any]:
        """What was said meanwhile."""
        return [item for one in self.heard if one["id"] == name for item in one.get("more", [])]


@pytest.fixture
def cluster(place: Place) -> Iterator[Any]:
    made = dodas.launch("toy", name="higgs", workers=1, environment={"variables": {"PASSPHRASE": "open sesame"}})
    yield made
    made.stop()
    blocking_until(threads, within=WITHIN, meets=lambda left: not left)


@pytest.fixture
def screen(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Screen:
    return Screen(cluster.widget, monkeypatch)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("dodas-widget")]


def test_traits_follow_the_cluster(cluster: Any) -> None:
    widget = cluster.widget
    assert widget is cluster.widget, "a cluster has one"
    assert isinstance(widget, ClusterWidget)
    assert (widget.phase, widget.workers, widget.target, widget.title) == ("ready", 1, 1, "Toy")
    seen: list[int] = []
    widget.observe(lambda change: seen.append(change["new"]), "workers")
    cluster.scale(3)
    blocking_until(lambda: widget.workers, within=WITHIN, meets=lambda workers: workers == 3)
    assert seen[-1] == 3
    assert widget.record["status"]["targets"] == {"worker": 3}


def test_a_card_does_what_a_user_can(cluster: Any, screen: Screen) -> None:
    assert "ok" in screen.ask("change", {"workers": 2})
    assert "ok" in screen.ask("change", {"adapt": {"minimum": 1, "maximum": 4}})
    assert "ok" in screen.ask("change", {"keep_until": time.time() + 3600})
    spec = cluster.record().spec
    assert spec.options["adapt"] == {"minimum": 1, "maximum": 4}
    assert spec.keep_until is not None
    assert "ok" in screen.ask("change", {"restart": True})
    assert cluster.record().spec.restarts == 1

    screen.say({"id": "following", "do": "logs"})
    blocking_until(lambda: screen.said("following"), within=WITHIN)
    assert {"instance", "line"} == screen.said("following")[0].keys()
    screen.say({"id": "enough", "do": "cancel", "given": "following"})
    assert "ok" in screen.ask("stop")


def test_a_card_is_told_what_is_refused(cluster: Any, screen: Screen) -> None:
    refused = screen.ask("change", {"keep_until": 1e12})["problem"]
    assert refused["code"] == "invalid-option"
    assert refused.keys() >= {"message", "cause", "remedy"}


@pytest.mark.parametrize(
    ("do", "given"), [("explode", None), ("change", {"workers": "many"}), ("change", ["workers"]), ("change", {"name": "other"})]
)
def test_a_card_of_another_version_is_told_so(screen: Screen, do: str, given: object) -> None:
    assert screen.ask(do, given)["problem"]["code"] == "not-supported"


@pytest.mark.parametrize("content", [None, "stop", {}, {"id": 1, "do": "stop"}, {"id": "x" * 65, "do": "stop"}, {"id": "1"}])
def test_what_is_no_message_of_a_card_is_left_alone(cluster: Any, screen: Screen, content: object) -> None:
    screen.say(content)
    assert "ok" in screen.ask("change", {"workers": 1})
    assert cluster.phase() != "stopped"


def test_a_widget_ends_with_its_cluster(cluster: Any, screen: Screen) -> None:
    assert threads()
    cluster.stop()
    blocking_until(threads, within=WITHIN, meets=lambda left: not left)
    assert screen.widget.phase == "stopped"
    assert screen.widget.record["status"]["phase"] == "stopped"
    assert screen.ask("stop")["problem"]["code"] == "not-found"
    screen.widget.close()
    with pytest.raises(NotFound):
        _ = dodas.connect("higgs").widget


def test_a_widget_that_is_closed_leaves_the_cluster_alone(cluster: Any) -> None:
    cluster.widget.close()
    assert threads() == []
    assert cluster.phase() == "ready"


def test_what_a_notebook_keeps_is_what_the_card_draws(cluster: Any) -> None:
    bundle = cluster.widget._bundle()
    assert bundle.keys() == {PictureView.MIME, "application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
    kept = bundle[PictureView.MIME]
    assert (kept["version"], kept["title"], kept["cluster"]["name"]) == (1, "Toy", "higgs")
    assert set(kept["cluster"]["spec"]["options"]) == {"workers", "adapt"}
    assert "sesame" not in repr(bundle), "notebooks are shared; variables are their user's"
    assert "sesame" not in repr(cluster.widget.get_state())


@pytest.fixture
def launcher(place: Place) -> Iterator[Launcher]:
    made = dodas.launcher("toy")
    yield made
    if made.cluster is not None:
        made.cluster.stop()
    made.close()
    assert threads() == []


def test_the_form_launches_and_becomes_the_card(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(launcher, monkeypatch)
    assert "toy" in {kind["kind"] for kind in launcher.kinds}
    assert launcher.record == {}
    assert launcher._bundle()[PictureView.MIME]["cluster"] is None
    held = launcher.quota["used"]["clusters"]
    other = dodas.launch("toy", name="other", workers=1)
    blocking_until(lambda: launcher.quota["used"]["clusters"], within=WITHIN, meets=lambda used: used == held + 1)
    other.stop()

    refused = screen.ask("launch", {"kind": "toy", "options": {"wokers": 1}})["problem"]
    assert refused["code"] == "unknown-option"
    assert launcher.record == {}
    assert "ok" in screen.ask("launch", {"kind": "toy", "name": "tagger", "options": {"workers": 1}})
    launcher.cluster.wait()
    blocking_until(lambda: launcher.phase, within=WITHIN, meets=lambda phase: phase == "ready")
    assert launcher.cluster.name == launcher.record["name"] == "tagger"
    assert launcher._bundle()[PictureView.MIME]["cluster"]["name"] == "tagger"
    assert "ok" in screen.ask("change", {"workers": 2})


def test_without_the_extra_everything_else_works(cluster: Any, tmp_path: Path) -> None:
    code = """
import sys
sys.modules["anywidget"] = None
import jupyter_dodas as dodas
from jupyter_dodas.errors import MissingSoftware
cluster = dodas.connect("higgs")
for ask in (lambda: cluster.widget, dodas.launcher):
    try:
        ask()
    except MissingSoftware as error:
        print(error.remedy, cluster.phase(), "ready" in cluster._repr_mimebundle_()["text/plain"])
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == 'pip install "jupyter-dodas[lab]" ready True\n' * 2
