"""A converter in a test, with a store to put into what it makes."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from jupyter_dodas.inference.conversion.jobs import Converter, Upload
from jupyter_dodas.inference.records import Lineage, Manifest
from jupyter_dodas.inference.versions.store import Store

__all__ = ["Converting", "converting"]

LINEAGE = Lineage(owner="jane@iam", created=1.0)


@dataclass
class Converting:
    """What a test needs to have models converted."""

    store: Store
    converter: Converter
    steps: list[str] = field(default_factory=list)

    async def put(self, *files: Path, examples: Path | None = None, **more: Any) -> tuple[Manifest, Path]:
        """Upload files, or the contents of a folder; return the version and its folder."""
        with self.store.staging() as folder:
            original = folder / "original"
            if len(files) == 1 and files[0].is_dir():
                shutil.copytree(files[0], original)
            else:
                original.mkdir()
                for file in files:
                    shutil.copy(file, original)
            self.steps.clear()
            upload = Upload(folder, more.pop("model", "tagger"), examples=examples, **more)
            manifest = self.store.add(folder, await self.converter.convert(upload, LINEAGE, self.steps.append))
        return manifest, self.store.folder(manifest.model, manifest.version)

    def left(self) -> list[Path]:
        """Return what is left of uploads that came to nothing."""
        return [path for path in (self.store.root / "staging").iterdir() if path.is_dir()]

    def processes(self) -> list[psutil.Process]:
        """Return all processes below the one that waits."""
        standby = self.converter.process
        return psutil.Process(standby).children(recursive=True) if standby and psutil.pid_exists(standby) else []

    def jobs(self) -> list[psutil.Process]:
        """Return those that convert: forks of the one that waits, and not what libraries start as they are imported."""
        found = []
        for one in self.processes():
            with suppress(psutil.NoSuchProcess):
                if one.cmdline() == psutil.Process(self.converter.process).cmdline():
                    found.append(one)
        return found


@asynccontextmanager
async def converting(folder: Path, **options: Any) -> AsyncIterator[Converting]:
    """Give a converter, and end it; nothing of it may be left."""
    mine = psutil.Process()
    before = set(mine.children())
    converter = Converter(**options)
    try:
        yield Converting(Store(folder), converter)
    finally:
        await converter.close()
    assert set(mine.children()) <= before
