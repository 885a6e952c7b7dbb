"""Regular expressions in templates: those that are quick, however what they are tried on is made."""

import math
import re
from typing import Final

__all__ = ["LONGEST", "trouble"]

LONGEST: Final = 256
"""Characters of a text that is matched."""
_LONGEST_PATTERN: Final = 200
_MOST_WAYS: Final = 100_000
"""In how many ways a text may be tried; each takes a microsecond."""

_ATOM: Final = re.compile(r"\\[dwsDWS.+*?()\[\]{}|/^$-]|\[\^?(?:\\[dwsDWS.\]\[^\\-]|[^\]\[\\])+\]|[^\\\[\](){}*+?|^$]")
_QUANTITY: Final = re.compile(r"[*+?]|\{(\d{1,3})(?:(,)(\d{1,3})?)?\}")


def trouble(pattern: str) -> str:
    """Return why a pattern may not be used; empty if it may."""
    if len(pattern) > _LONGEST_PATTERN:
        return f"it has more than {_LONGEST_PATTERN} characters"
    try:
        ways = _Tries(pattern.removeprefix("^").removesuffix("$")).all()
        re.compile(pattern)
    except (ValueError, re.error):
        return "it has more than characters, sets, alternatives in parentheses, and repetitions of what repeats nothing itself"
    return "it repeats so much that some texts would be tried for hours" if ways > _MOST_WAYS else ""


class _Tries:
    """Counts in how many ways a pattern can be tried: repetitions multiply, alternatives add up."""

    def __init__(self, pattern: str) -> None:
        self.pattern, self.at = pattern, 0

    def all(self) -> float:
        ways = self._alternatives()
        if self.at != len(self.pattern):
            raise ValueError
        return ways

    def _alternatives(self) -> float:
        ways = self._sequence()
        while self._take("|"):
            ways += self._sequence()
        return ways

    def _sequence(self) -> float:
        ways = 1.0
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            ways *= self._repeated(self._one())
        return ways

    def _one(self) -> float:
        if self._take("("):
            self._take("?:")
            ways = self._alternatives()
            if not self._take(")"):
                raise ValueError
            return ways
        if (found := _ATOM.match(self.pattern, self.at)) is None:
            raise ValueError
        self.at = found.end()
        return 1.0

    def _repeated(self, ways: float) -> float:
        found = _QUANTITY.match(self.pattern, self.at)
        if found is None:
            return ways
        self.at = found.end()
        least, most = _bounds(found)
        if most > 1 and ways > 1:
            raise ValueError
        return ways + 1 if most == 1 and least == 0 else most - least + 1

    def _take(self, text: str) -> bool:
        if self.pattern.startswith(text, self.at):
            self.at += len(text)
            return True
        return False


def _bounds(found: re.Match[str]) -> tuple[float, float]:
    match found[0]:
        case "*":
            return 0, LONGEST
        case "+":
            return 1, LONGEST
        case "?":
            return 0, 1
    least = int(found[1])
    most = float(least if found[2] is None else found[3] or LONGEST)
    if most < least or math.isinf(most):
        raise ValueError
    return least, most
