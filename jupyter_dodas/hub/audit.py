"""What an administrator may have to answer for: who signed in, who got which token, who launched what. A line of JSON each."""

import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["Audit", "Log"]

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]
Fact = str | int | float | list[str] | None


class Audit:
    """A file that only grows, for its owner alone.

    Parameters
    ----------
    file
        Where the lines go; opened for each of them, so that it may be moved away.
    log
        Where they go without one.
    """

    def __init__(self, file: Path | None, log: Log) -> None:
        self._file = file
        self._log = log

    def note(self, event: str, **facts: Fact) -> None:
        """Write down what happened. No fact is ever a token."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **facts}, ensure_ascii=False)
        if self._file is None:
            self._log.info("%s", line)
            return
        try:
            with os.fdopen(os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            # People are not kept from their work by a full disk, but somebody must hear of it.
            self._log.error("No audit line could be written to %s: %s", self._file, error)
