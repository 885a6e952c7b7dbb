"""Wait until something is as it should be, instead of sleeping and hoping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, overload

__all__ = ["blocking_until", "until"]

T = TypeVar("T")

_EVERY: Final = 0.01


@overload
async def until(look: Callable[[], Awaitable[T]], *, within: float, meets: Callable[[T], object] = ...) -> T: ...


@overload
async def until(look: Callable[[], T], *, within: float, meets: Callable[[T], object] = ...) -> T: ...


async def until(look: Callable[[], Any], *, within: float, meets: Callable[[Any], object] = bool) -> Any:
    """Look again and again, and return the first answer that will do.

    Parameters
    ----------
    look
        A function or a coroutine function.
    within
        Seconds to go on for.
    meets
        Tells whether an answer will do; by default a true one does.

    Raises
    ------
    AssertionError
        With the last answer, if none would do.
    """
    deadline = time.monotonic() + within
    while True:
        found = look()
        answer = await found if inspect.isawaitable(found) else found
        if meets(answer):
            return answer
        _give_up_after(deadline, within, answer)
        await asyncio.sleep(_EVERY)


def blocking_until(look: Callable[[], T], *, within: float, meets: Callable[[T], object] = bool) -> T:
    """See `until`; blocks."""
    deadline = time.monotonic() + within
    while not meets(answer := look()):
        _give_up_after(deadline, within, answer)
        time.sleep(_EVERY)
    return answer


def _give_up_after(deadline: float, within: float, answer: object) -> None:
    if time.monotonic() > deadline:
        raise AssertionError(f"It did not come within {within:g} s; the last answer was {answer!r}")
