"""The store of versions: what appears is whole, what goes is gone, whenever the process that does it is killed."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from jupyter_dodas.errors import BadInput, ModelBroken, ModelNotFound, StateNotWritable, StoreFull, TooLarge
from jupyter_dodas.inference.records import Lineage, Manifest, Signature, Tensor
from jupyter_dodas.inference.versions.store import State, Store

SIGNATURE = Signature((Tensor("x", "float32", (None, 2)),), (Tensor("y", "float32", (None, 1)),))


def manifest(model: str = "tagger", *, created: float = 1.0, **more: Any) -> Manifest:
    lineage = Lineage(owner="jane@iam", created=created)
    return Manifest(model=model, version="", format="tflite", engine="litert", signature=SIGNATURE, lineage=lineage, **more)


def fill(folder: Path, content: str) -> None:
    for name in ("original", "engine"):
        (folder / name).mkdir()
        (folder / name / "model.tflite").write_text(content)


def put(store: Store, content: str, model: str = "tagger", **more: Any) -> str:
    with store.staging() as folder:
        fill(folder, content)
        return store.add(folder, manifest(model, **more)).version


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def staged(store: Store) -> list[Path]:
    return [path for path in (store.root / "staging").iterdir() if path.is_dir()]


def test_a_version_is_what_was_added(store: Store) -> None:
    version = put(store, "one", labels=("signal", "background"))
    found = Store(store.root).manifest("tagger", version)
    assert found.labels == ("signal", "background")
    assert set(found.files) == {"original/model.tflite", "engine/model.tflite"}
    folder = store.folder("tagger", version)
    assert (folder / "engine/model.tflite").read_text() == "one"
    assert store.root.stat().st_mode & 0o777 == 0o700
    assert store.models() == {"tagger": State("tagger")}
    assert staged(store) == []


def test_the_same_content_is_the_same_version_whoever_brings_it(store: Store) -> None:
    first = put(store, "one", created=1.0)
    assert put(store, "one", created=2.0) == first
    assert store.manifest("tagger", first).lineage.created == 1.0
    others = {
        put(store, "two"),
        put(store, "one", keys=("pt", "eta")),
        put(store, "one", labels=("a",)),
        put(store, "one", params={"a": 1}),
    }
    assert len(others | {first}) == 5
    assert put(store, "one", "other") == first
    assert [one.version for one in store.versions("other")] == [first]


def test_versions_come_newest_first(store: Store) -> None:
    made = [put(store, f"{number}", created=float(number)) for number in (2, 3, 1)]
    assert [one.version for one in store.versions("tagger")] == [made[1], made[0], made[2]]


def test_what_is_not_added_is_removed(store: Store) -> None:
    with store.staging() as folder:
        fill(folder, "one")
    assert staged(store) == []
    assert store.models() == {}


def test_the_pointer_goes_on_and_back(store: Store) -> None:
    one, two = put(store, "one"), put(store, "two")
    with pytest.raises(BadInput, match="cannot be rolled back"):
        store.rollback("tagger")
    assert store.publish("tagger", one).published == one
    assert store.publish("tagger", two) == store.publish("tagger", two)
    assert store.publish("tagger", one).history == (one, two, one)
    assert store.rollback("tagger").published == two
    assert store.rollback("tagger").published == one
    with pytest.raises(BadInput):
        store.rollback("tagger")
    assert store.models()["tagger"] == State("tagger", one, (one,), 5)
    assert Store(store.root).models() == store.models()


def test_history_is_bounded(store: Store) -> None:
    one, two = put(store, "one"), put(store, "two")
    for _ in range(40):
        store.publish("tagger", one)
        state = store.publish("tagger", two)
    assert len(state.history) == 50
    assert state.generation == 80


def test_a_deleted_version_is_not_published_any_more(store: Store) -> None:
    one, two, three = (put(store, name) for name in ("one", "two", "three"))
    for version in (one, two, one, three):
        store.publish("tagger", version)
    store.delete("tagger", two)
    assert store.models()["tagger"].history == (one, three)
    store.delete("tagger", three)
    assert store.models()["tagger"].published is None
    assert store.rollback("tagger").published == one
    store.delete("tagger", one)
    assert store.models() == {}
    with pytest.raises(ModelNotFound):
        store.folder("tagger", one)
    assert list((store.root / "models").iterdir()) == []


def test_a_whole_model_goes(store: Store) -> None:
    version = put(store, "one")
    put(store, "two")
    store.publish("tagger", version)
    store.delete("tagger")
    assert store.models() == {}
    assert put(store, "one") == version
    assert store.models() == {"tagger": State("tagger")}


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a" * 65, "-a", "a b", "é", "a\n", "a\0"])
def test_a_name_is_never_a_path(store: Store, name: str) -> None:
    version = put(store, "one")
    with store.staging() as folder, pytest.raises(BadInput, match="cannot be called"):
        store.add(folder, manifest(name))
    calls: list[Callable[[], object]] = [
        lambda: store.manifest(name, version),
        lambda: store.folder(name, version),
        lambda: store.versions(name),
        lambda: store.publish(name, version),
        lambda: store.rollback(name),
        lambda: store.delete(name),
        lambda: store.delete(name, version),
        lambda: store.delete("tagger", name),
        lambda: store.manifest("tagger", name),
        lambda: store.publish("tagger", name),
        lambda: store.record("tagger", name, {}),
        lambda: store.metrics("tagger", name),
    ]
    for call in calls:
        with pytest.raises(ModelNotFound):
            call()


def test_a_near_name_is_suggested(store: Store) -> None:
    put(store, "one")
    with pytest.raises(ModelNotFound, match="Did you mean 'tagger'"):
        store.manifest("taggr", "0" * 12)


def test_results_stand_beside_a_version(store: Store) -> None:
    version = put(store, "one")
    assert store.metrics("tagger", version) == {}
    store.record("tagger", version, {"rows": [{"batch": 1, "p50_ms": 0.2}]})
    assert Store(store.root).metrics("tagger", version) == {"rows": [{"batch": 1, "p50_ms": 0.2}]}
    store.folder("tagger", version)
    with pytest.raises(TooLarge):
        store.record("tagger", version, {"rows": ["x" * 300_000]})
    put(store, "two")
    store.delete("tagger", version)
    assert list((store.root / "models/tagger/benchmarks").iterdir()) == []


DAMAGE: dict[str, Callable[[Path], object]] = {
    "changed": lambda folder: (folder / "engine/model.tflite").write_text("two"),
    "missing": lambda folder: (folder / "original/model.tflite").unlink(),
    "added": lambda folder: (folder / "engine/more").write_text(""),
    "linked": lambda folder: (folder / "engine/link").symlink_to("/etc/passwd"),
    "cut": lambda folder: (folder / "manifest.json").write_text('{"model"'),
    "empty": lambda folder: (folder / "manifest.json").write_text(""),
    "swapped": lambda folder: (folder / "manifest.json").write_text(
        (folder / "manifest.json").read_text().replace("original/model.tflite", "original/other")
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_seen_when_a_version_is_opened_and_uploading_repairs_it(store: Store, damage: str) -> None:
    version, sound = put(store, "one"), put(store, "two")
    DAMAGE[damage](store.root / "models/tagger/versions" / version)
    fresh = Store(store.root)
    for call in (fresh.folder, fresh.publish):
        with pytest.raises(ModelBroken):
            call("tagger", version)
    assert sound in [one.version for one in fresh.versions("tagger")]
    assert put(fresh, "one") == version
    assert (Store(store.root).folder("tagger", version) / "engine/model.tflite").read_text() == "one"
    assert staged(store) == []


def test_a_damaged_pointer_publishes_nothing_and_is_put_right_by_the_next(store: Store) -> None:
    version = put(store, "one")
    store.publish("tagger", version)
    (store.root / "models/tagger/model.json").write_text("{")
    assert Store(store.root).models() == {"tagger": State("tagger")}
    assert Store(store.root).publish("tagger", version).published == version


def test_strange_files_are_no_models(store: Store) -> None:
    put(store, "one")
    (store.root / "models/.DS_Store").write_text("")
    (store.root / "models/file").write_text("")
    (store.root / "models/empty").mkdir()
    (store.root / "models/tagger/versions/.nfs0001").write_text("")
    assert list(store.models()) == ["tagger"]
    assert len(store.versions("tagger")) == 1


def test_another_process_sees_what_changes(store: Store) -> None:
    reader = Store(store.root)
    one, two = put(store, "one"), put(store, "two")
    store.publish("tagger", one)
    assert reader.models()["tagger"].published == one
    assert reader.folder("tagger", one).is_dir()
    store.publish("tagger", two)
    assert reader.models()["tagger"].published == two
    store.delete("tagger", one)
    with pytest.raises(ModelNotFound):
        reader.folder("tagger", one)


def test_many_add_and_publish_at_once(store: Store) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(5):
                store.publish("tagger", put(store, f"{(number + step) % 3}"))
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(store.versions("tagger")) == 3
    assert staged(store) == []


def test_what_goes_wrong_while_staging_is_told_as_what_it_is(store: Store) -> None:
    with pytest.raises(StoreFull), store.staging():
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(ConnectionResetError), store.staging():
        raise ConnectionResetError
    assert staged(store) == []


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateNotWritable):
        Store(tmp_path / "file")


FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_store import put
from jupyter_dodas.errors import StoreFull
from jupyter_dodas.inference.versions.store import Store
store = Store(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    put(store, "two" * 10)
except StoreFull as error:
    print(error)
"""


def test_a_full_disk_leaves_nothing_half_done(store: Store) -> None:
    """A process that may write no more bytes to a file sees what a full disk shows."""
    version = put(store, "one")
    store.publish("tagger", version)
    done = subprocess.run(
        [sys.executable, "-c", FULL, store.root, Path(__file__).parent], check=True, capture_output=True, text=True, env=os.environ
    )
    assert "no space left" in done.stdout
    assert "hint: Delete models" in done.stdout
    assert staged(store) == []
    assert Store(store.root).models() == store.models()
    assert [one.version for one in store.versions("tagger")] == [version]


def test_what_a_killed_process_had_in_hand_is_removed_and_what_a_living_one_has_is_not(store: Store) -> None:
    child = os.fork()
    if child == 0:
        with store.staging() as folder:
            fill(folder, "one")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with store.staging() as mine:
        assert len(staged(store)) == 2
        again = Store(store.root)
        assert staged(store) == [mine.parent]
        fill(mine, "two")
        again.add(mine, manifest())
    assert staged(store) == []


HOOKS = [(os, "rename"), (os, "replace"), (os, "fsync"), (os, "mkdir"), (os, "unlink"), (os, "rmdir")]


def killed_at(step: int, call: Callable[[], object]) -> bool:
    """Do it in a child that is killed before its n-th change to files; tell whether it came that far."""
    child = os.fork()
    if child == 0:
        left = [step]

        def counted(function: Callable[..., Any]) -> Callable[..., Any]:
            def hook(*arguments: Any, **named: Any) -> Any:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **named)

            return hook

        try:
            for module, name in HOOKS:
                setattr(module, name, counted(getattr(module, name)))
            call()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


class Killed(RuleBasedStateMachine):
    """The store against a model of it, where each step may be cut short: then it has happened, or it has not."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(os.environ["DODAS_TEST_STORE"]) / f"{random.SystemRandom().getrandbits(64):x}"
        self.versions: dict[str, str] = {}
        self.published: str | None = None
        self.history: list[str] = []

    @initialize()
    def begin(self) -> None:
        self.store = Store(self.folder)

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def step(self, kill: int | None, call: Callable[[], object], happened: Callable[[Store], bool]) -> bool:
        if kill is None or not killed_at(kill, call):
            if kill is None:
                call()
            self.store = Store(self.folder)
            assert happened(self.store)
            return True
        self.store = Store(self.folder)
        assert staged(self.store) == []
        return happened(self.store)

    kills = st.none() | st.integers(0, 24)
    contents = st.sampled_from(["a", "b", "c"])

    @rule(content=contents, kill=kills)
    def add(self, content: str, kill: int | None) -> None:
        if self.step(
            kill, lambda: put(self.store, content), lambda store: len(known(store)) > len(self.versions) or content in self.versions
        ):
            self.versions[content] = put(self.store, content)

    @rule(content=contents, kill=kills)
    def publish(self, content: str, kill: int | None) -> None:
        version = self.versions.get(content, "0" * 12)
        if content not in self.versions:
            with pytest.raises(ModelNotFound):
                self.store.publish("tagger", version)
        elif self.published != version and self.step(
            kill, lambda: self.store.publish("tagger", version), lambda store: store.models()["tagger"].published == version
        ):
            self.published = version
            self.history.append(version)

    @rule(kill=kills)
    def rollback(self, kill: int | None) -> None:
        history = self.history[:-1] if self.published else self.history
        if not history:
            with pytest.raises((BadInput, ModelNotFound)):
                self.store.rollback("tagger")
        elif self.step(
            kill, lambda: self.store.rollback("tagger"), lambda store: store.models()["tagger"].published == history[-1]
        ):
            self.history, self.published = list(history), history[-1]

    @rule(content=contents, kill=kills)
    def delete(self, content: str, kill: int | None) -> None:
        version = self.versions.get(content)
        if version is None:
            return
        gone = self.step(kill, lambda: self.store.delete("tagger", version), lambda store: version not in known(store))
        # The pointer goes first: a kill between the two leaves a version that is not published.
        state = self.store.models().get("tagger", State("tagger"))
        if gone or version not in state.history:
            self.published = None if self.published == version else self.published
            kept = [other for other in self.history if other != version]
            self.history = [other for index, other in enumerate(kept) if not index or kept[index - 1] != other]
        if gone:
            del self.versions[content]
        if not self.versions:
            self.published, self.history = None, []

    @invariant()
    def everything_is_as_expected(self) -> None:
        for store in (self.store, Store(self.folder)):
            assert set(known(store)) == set(self.versions.values())
            state = store.models().get("tagger", State("tagger"))
            assert (state.published, list(state.history)) == (self.published, self.history)
            for content, version in self.versions.items():
                assert (store.folder("tagger", version) / "engine/model.tflite").read_text() == content
        assert staged(self.store) == []


def known(store: Store) -> list[str]:
    return [one.version for one in store.versions("tagger")] if "tagger" in store.models() else []


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DODAS_TEST_STORE", str(tmp_path))
    yield
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("stores")
def test_a_kill_at_any_step_leaves_a_whole_store() -> None:
    run_state_machine_as_test(Killed, settings=settings(max_examples=40, stateful_step_count=12))


def put_anew(folder: Path) -> None:
    put(Store(folder), "one")


def test_every_single_step_of_adding_can_be_the_last(tmp_path: Path) -> None:
    """Not a sample: the process is killed before the first change, before the second, and so on to the end."""
    step = 0
    while killed_at(step, partial(put_anew, tmp_path / str(step))):
        store = Store(tmp_path / str(step))
        assert staged(store) == []
        for version in known(store):
            assert store.folder("tagger", version).is_dir()
        assert put(store, "one") in known(store)
        step += 1
    assert step > 10
