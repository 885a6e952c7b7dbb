"""Folders in which things are made before they appear, or go before they are removed; none outlives its process for long."""

import fcntl
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["Staging"]


class Staging:
    """Folders below one root, each with a file that its process holds locked: so others can tell whose process is gone."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def fresh(self) -> Iterator[Path]:
        """Make a folder, and remove at the end what is left in it."""
        folder = self.root / secrets.token_hex(8)
        with (self.root / "lock").open("w") as gate:
            fcntl.flock(gate, fcntl.LOCK_SH)  # nobody tidies up between the two steps
            folder.mkdir(mode=0o700)
            held = (folder / "lock").open("w")
            fcntl.flock(held, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            held.close()

    def tidy(self) -> None:
        """Remove what processes that are gone had in hand."""
        with (self.root / "lock").open("w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            for folder in self.root.iterdir():
                if not folder.is_dir():
                    continue
                with suppress(OSError), (folder / "lock").open("a") as held:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
