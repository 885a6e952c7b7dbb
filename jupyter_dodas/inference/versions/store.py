"""Versions of models as files: immutable folders by content hash, and for each model a pointer to the published one.

::

    models/<model>/model.json                  which version is published, and was before
    models/<model>/versions/<version>/         manifest.json, engine/, original/
    models/<model>/benchmarks/<version>.json   what was measured of it later
    staging/<random>/                          what is being made or removed, with the lock of the process that does it

Whatever appears does so by one rename of something that is complete and on the disk, and whatever goes is renamed away first: a
process may be killed at any moment, and readers, of other processes too, need no lock.
"""

import fcntl
import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from jupyter_dodas.errors import BadInput, ModelBroken, ModelNotFound, TooLarge
from jupyter_dodas.inference.records import Manifest
from jupyter_dodas.inference.versions.content import MANIFEST, content, content_hash, damaged, verify
from jupyter_dodas.inference.versions.staging import Staging
from jupyter_dodas.inference.versions.tree import explained, is_full, sync, sync_all

__all__ = ["MODEL_NAME", "State", "Store", "checked_name"]

logger = logging.getLogger(__name__)

MODEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_VERSION: Final = re.compile(r"[0-9a-f]{12}")
_HISTORY: Final = 50
_BENCHMARK: Final = 256 * 1024


class State(msgspec.Struct, frozen=True):
    """Of one model, which version is published.

    Parameters
    ----------
    published
        None before the first is, and after the published one was deleted.
    history
        Versions in the order in which they were published, the last one last; a rollback takes the last one off.
    generation
        Goes up with each change.
    """

    model: str
    published: str | None = None
    history: tuple[str, ...] = ()
    generation: int = 0


class Store:
    """The models in one folder. Synchronous: who has a loop calls it in a thread, except for what says that it is cheap.

    Raises
    ------
    StateNotWritable, StoreFull
        From whatever writes.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._models, self._staging = root / "models", Staging(root / "staging")
        self._states: dict[str, tuple[tuple[int, ...], State | None]] = {}
        self._manifests: dict[tuple[str, str], Manifest] = {}
        self._verified: set[tuple[str, str]] = set()
        self._verifying = threading.Lock()
        try:
            for folder in (root, self._models, self._staging.root):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise explained(root, error) from error
        if os.access(root, os.W_OK):  # where it is not, this is a reader
            self._staging.tidy()

    # Looking.

    def models(self) -> Mapping[str, State]:
        """Return the state of every model that has versions, by name. Cheap: files are read again only if they changed."""
        found = {}
        for entry in sorted(os.scandir(self._models), key=lambda one: one.name):
            if (state := self._state(entry.name)) is not None:
                found[entry.name] = state
        return found

    def versions(self, model: str) -> Sequence[Manifest]:
        """Return the versions of a model, newest first. One that is damaged is left out, with a warning in the log.

        Raises
        ------
        ModelNotFound
        """
        found = []
        for version in self._known(model):
            try:
                found.append(self.manifest(model, version))
            except ModelBroken as error:
                logger.warning("A version is left out of the list: %s", error)
            except ModelNotFound:
                continue  # it was deleted meanwhile
        if not found and not self._known(model):
            raise ModelNotFound(model, known=self.models())
        return sorted(found, key=lambda one: (one.lineage.created, one.version), reverse=True)

    def manifest(self, model: str, version: str) -> Manifest:
        """Return what is known of a version. Cheap.

        Raises
        ------
        ModelNotFound
        ModelBroken
            If its file is damaged.
        """
        file = self._path(model, version) / MANIFEST
        if (known := self._manifests.get((model, version))) is not None and file.exists():
            return known
        try:
            manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
        except FileNotFoundError:
            self._manifests.pop((model, version), None)
            raise self._not_found(model, version) from None
        except (msgspec.DecodeError, OSError) as error:
            raise damaged(model, version, f"{MANIFEST}: {error}") from error
        if (manifest.model, manifest.version, content_hash(manifest)) != (model, version, version):
            raise damaged(model, version, f"{MANIFEST} is of something else.")
        self._manifests[model, version] = manifest
        return manifest

    def folder(self, model: str, version: str) -> Path:
        """Return the folder of a version. Its files are compared with their checksums when this is asked for the first time.

        Raises
        ------
        ModelNotFound
        ModelBroken
            If a file is not what it was.
        """
        manifest, folder = self.manifest(model, version), self._path(model, version)
        with self._verifying:
            if (model, version) not in self._verified:
                verify(folder, manifest)
                self._verified.add((model, version))
        return folder

    def metrics(self, model: str, version: str) -> Mapping[str, Any]:
        """Return what was recorded of a version, nothing at first.

        Raises
        ------
        ModelNotFound
        """
        self.manifest(model, version)
        with suppress(FileNotFoundError, msgspec.DecodeError):
            return msgspec.json.decode(self._benchmark(model, version).read_bytes(), type=dict[str, Any])
        return {}

    # Changing.

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Give an empty folder, which is removed at the end unless it was added: then, or when the process is gone.

        A full disk is told as `StoreFull` also by whoever works in it.
        """
        with ExitStack() as stack:
            try:
                outer = stack.enter_context(self._staging.fresh())
                (inner := outer / "version").mkdir(mode=0o700)  # the lock stands beside it, out of reach of what works inside
            except OSError as error:
                raise explained(self.root, error) from error
            try:
                yield inner
            except OSError as error:
                if is_full(error):
                    raise explained(self.root, error) from error
                raise

    def add(self, folder: Path, manifest: Manifest) -> Manifest:
        """Take over a folder of `staging` as a version, and return its manifest with version and checksums.

        The version is the hash of ``original/`` and of what decides how replies read: keys, labels, channels, params. The engine is
        not part of it, since it follows from these. Content that is there already stays as it is, with its lineage.
        """
        checked_name(manifest.model)
        files = content(folder)
        manifest = msgspec.structs.replace(manifest, files=files)
        manifest = msgspec.structs.replace(manifest, version=content_hash(manifest))
        model, version = manifest.model, manifest.version
        try:
            (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
            sync_all(folder)
            target = self._path(model, version)
            with self._locked(), self._staging.fresh() as bin_:
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                if target.exists():
                    try:
                        there = self.manifest(model, version)
                        verify(target, there)
                    except ModelBroken:
                        target.rename(bin_ / "damaged")
                    else:
                        return there
                folder.rename(target)
                for parent in (target.parent, target.parent.parent, self._models):
                    sync(parent)
        except OSError as error:
            raise explained(self.root, error) from error
        self._manifests[model, version] = manifest
        self._verified.add((model, version))  # the sums were taken just now
        return manifest

    def publish(self, model: str, version: str) -> State:
        """Point to a version; to do so again changes nothing.

        Raises
        ------
        ModelNotFound
        ModelBroken
            If it is damaged.
        """
        self.folder(model, version)
        with self._locked():
            self.manifest(model, version)
            state = self._state(model) or State(model)
            if state.published == version:
                return state
            return self._write(state, version, (*state.history, version))

    def rollback(self, model: str) -> State:
        """Point to the version that was published before.

        Raises
        ------
        ModelNotFound
        BadInput
            If there is none.
        """
        with self._locked():
            if (state := self._state(model)) is None:
                raise ModelNotFound(model, known=self.models())
            history = state.history[:-1] if state.published else state.history
            if not history:
                raise BadInput(
                    f"The model {model!r} cannot be rolled back",
                    cause="No other version of it was published before, or it was deleted since.",
                    remedy="Publish one of its versions by name.",
                )
            return self._write(state, history[-1], history)

    def adopt(self, state: State) -> None:
        """Take over which versions of a model are published from another store, if more was changed there than here.

        Raises
        ------
        ModelNotFound
            If nothing of the model is here.
        """
        with self._locked():
            if (mine := self._state(state.model)) is None:
                raise ModelNotFound(state.model, known=self.models())
            if state.generation > mine.generation:
                here = self._known(state.model)
                published = state.published if state.published in here else None
                history = [version for version in state.history if version in here]
                self._write(State(state.model, generation=state.generation - 1), published, history)

    def delete(self, model: str, version: str | None = None) -> None:
        """Remove a version, or a model with all of them. What is published is withdrawn first.

        Raises
        ------
        ModelNotFound
        """
        with self._locked(), self.staging() as bin_:
            known = self._known(model)
            if not known:
                raise ModelNotFound(model, known=self.models())
            if version is not None and version not in known:
                raise self._not_found(model, version)
            if version is None or len(known) == 1:
                (self._models / model).rename(bin_ / "model")
                sync(self._models)
            else:
                self._withdraw(model, version)
                self._path(model, version).rename(bin_ / "version")
                sync(self._models / model / "versions")
                self._benchmark(model, version).unlink(missing_ok=True)
        for each in known if version is None else [version]:
            self._manifests.pop((model, each), None)
            self._verified.discard((model, each))

    def record(self, model: str, version: str, metrics: Mapping[str, Any]) -> None:
        """Keep what was measured of a version in place of what was recorded before.

        Raises
        ------
        ModelNotFound
        TooLarge
        """
        text = msgspec.json.encode(metrics)
        if len(text) > _BENCHMARK:
            raise TooLarge(
                "These results cannot be recorded",
                cause=f"They take {len(text)} bytes, {_BENCHMARK} are kept.",
                remedy="Record fewer rows.",
            )
        with self._locked():
            self.manifest(model, version)
            self._replace(self._benchmark(model, version), text)

    @staticmethod
    def place(root: Path, model: str, version: str) -> Path:
        """Return where a version lies in the store of a folder, if it is there.

        Raises
        ------
        ModelNotFound
            If these are no names.
        """
        # Names come from requests: nothing that is not a name becomes a path.
        if not (MODEL_NAME.fullmatch(model) and _VERSION.fullmatch(version)):
            raise ModelNotFound(model, version if MODEL_NAME.fullmatch(model) else None)
        return root / "models" / model / "versions" / version

    # Below: paths, state, locks.

    def _path(self, model: str, version: str) -> Path:
        return self.place(self.root, model, version)

    def _benchmark(self, model: str, version: str) -> Path:
        return self._models / model / "benchmarks" / f"{version}.json"

    def _known(self, model: str) -> list[str]:
        """Return the versions of a model, damaged ones too; none if there is no such model."""
        if not MODEL_NAME.fullmatch(model):
            return []
        try:
            return [one.name for one in (self._models / model / "versions").iterdir() if _VERSION.fullmatch(one.name)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _not_found(self, model: str, version: str) -> ModelNotFound:
        known = self._known(model)
        return ModelNotFound(model, version, known) if known else ModelNotFound(model, known=self.models())

    def _state(self, model: str) -> State | None:
        if not MODEL_NAME.fullmatch(model):
            return None
        folder = self._models / model
        seen = (*_stamp(folder / "versions"), *_stamp(folder / "model.json"))
        if (known := self._states.get(model)) is not None and known[0] == seen:
            return known[1]
        state = State(model) if self._known(model) else None
        if state is not None:
            try:
                state = msgspec.json.decode((folder / "model.json").read_bytes(), type=State)
            except FileNotFoundError:
                pass  # nothing of it has been published
            except msgspec.DecodeError as error:
                logger.warning("%s is damaged, so that nothing is published: %s", folder / "model.json", error)
        self._states[model] = (seen, state)
        return state

    def _write(self, state: State, published: str | None, history: Sequence[str]) -> State:
        single = [version for index, version in enumerate(history) if not index or history[index - 1] != version]
        state = State(state.model, published, tuple(single[-_HISTORY:]), state.generation + 1)
        self._replace(self._models / state.model / "model.json", msgspec.json.encode(state))
        self._states.pop(state.model, None)
        return state

    def _withdraw(self, model: str, version: str) -> None:
        state = self._state(model) or State(model)
        if version in state.history:
            published = None if state.published == version else state.published
            self._write(state, published, [other for other in state.history if other != version])

    def _replace(self, file: Path, content: bytes) -> None:
        try:
            file.parent.mkdir(mode=0o700, exist_ok=True)
            with self._staging.fresh() as folder:
                new = folder / file.name
                new.write_bytes(content)
                sync(new)
                new.replace(file)
            sync(file.parent)
        except OSError as error:
            raise explained(file, error) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only one who changes anything; nobody is for longer than a few renames."""
        try:
            file = (self.root / "lock").open("w")
        except OSError as error:
            raise explained(self.root, error) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def checked_name(model: str) -> str:
    """Return the name if a model can have it.

    Raises
    ------
    BadInput
    """
    if not MODEL_NAME.fullmatch(model):
        raise BadInput(
            f"A model cannot be called {model[:80]!r}",
            cause="Names begin with a letter or digit and go on with letters, digits, '_', '-' and '.', 64 at most.",
            remedy="Choose another name.",
        )
    return model


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_ino)
