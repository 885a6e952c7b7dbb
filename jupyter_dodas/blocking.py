"""Run a coroutine to its end from code that blocks, also where a loop runs already, as in a notebook."""

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

__all__ = ["run"]

P = ParamSpec("P")
T = TypeVar("T")


def run(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `function` on a loop of its own, in another thread, and wait for the result.

    An interrupt of the caller cancels it, and waits until it has cleaned up. Nothing outlives the call: no thread, no loop.
    """
    from anyio.from_thread import start_blocking_portal

    async def call() -> T:
        return await function(*args, **kwargs)

    with start_blocking_portal() as portal:
        return portal.call(call)
