"""Where the event logs of Spark are kept, and for how long."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from jupyter_dodas import settings

__all__ = ["forget_history", "history"]

_SILENT: Final = 86400.0
"""Seconds for which an application that still runs may write nothing."""


def history() -> Path:
    """Return the folder of event logs: one file for each application, which Spark's history server and others can read."""
    folder = settings.load().state / "history"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def forget_history() -> None:
    """Remove event logs that nobody has written to for as long as a failed cluster is kept, or for a day if that is longer."""
    configured = settings.load()
    for file in (configured.state / "history").glob("*"):
        with suppress(OSError):
            if time.time() - file.stat().st_mtime > max(configured.keep_failed, _SILENT):
                file.unlink()
