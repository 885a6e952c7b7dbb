"""Checks: what is judged of a machine before anything is launched on it, and what to do where something is missing."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

__all__ = ["Check", "Verdict"]


class Verdict(StrEnum):
    """How much it matters."""

    OK = "ok"
    WARN = "warn"
    """Something works less well than it could."""
    BAD = "bad"
    """Something will not work."""


class Check(BaseModel):
    """One thing that was looked at, in a sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str
    """What was looked at, in a word or two: ``State folder``."""
    verdict: Verdict
    message: str
    remedy: str = ""
    """What to do, unless all is well."""
