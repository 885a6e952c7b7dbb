"""Output: data on stdout, as text for people or as JSON for programs; everything else on stderr."""

import os
import sys
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from jupyter_dodas.errors import DodasError

if TYPE_CHECKING:
    from jupyter_dodas.display.view import Tone

__all__ = ["as_data", "both_are_seen", "data", "line", "paint", "problem", "say", "text"]


def text(lines: str) -> None:
    """Write text to stdout."""
    print(lines)  # noqa: T201 - this is where data goes


def data(value: Any) -> None:
    """Write a value to stdout as JSON: models, dataclasses, lists and mappings of them."""
    text(to_json(value, indent=2).decode())


def line(value: Any) -> None:
    """Write a value to stdout as one line of JSON."""
    text(to_json(value).decode())


def say(sentence: str) -> None:
    """Tell people something that is not data."""
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201


def both_are_seen() -> bool:
    """Whether stdout and stderr are terminals, so that what was told on one need not be told on the other."""
    return sys.stdout.isatty() and sys.stderr.isatty()


def as_data(error: DodasError | None) -> dict[str, str] | None:
    """Return an error as programs read it."""
    if error is None:
        return None
    return {"code": error.code, "message": error.message, "cause": error.cause, "remedy": error.remedy}


def problem(error: DodasError) -> None:
    """Tell people what went wrong, why, and what to do."""
    say(f"error: {error.message}")
    if error.cause:
        say(error.cause)
    if error.remedy:
        say(f"hint: {error.remedy}")


def paint(shown: str, tone: "Tone") -> str:
    """Return a text in its colour, if stdout is a terminal that shows colours."""
    if "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty():
        return shown
    import typer

    from jupyter_dodas.display.view import Tone

    colours = {Tone.BUSY: "cyan", Tone.GOOD: "green", Tone.WARN: "yellow", Tone.BAD: "red"}
    return typer.style(shown, fg=colours[tone]) if tone in colours else typer.style(shown, dim=True)
