"""What instances use now, by asking the keeper from time to time for as long as somebody wants to know."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping

from jupyter_dodas.backends.base import Load
from jupyter_dodas.backends.local.layout import Layout

__all__ = ["follow"]

_Looked = tuple[float, Mapping[str, tuple[float, int]]]
"""When, on the keeper's clock, and the CPU seconds and bytes of each instance."""


async def follow(layout: Layout, every: float) -> AsyncGenerator[Mapping[str, Mapping[str, Load]], None]:
    """See `Backend.loads`. Where no keeper runs, nothing uses anything."""
    before: _Looked = (0.0, {})
    first = True
    while True:
        now = await _look(layout)
        if not first:
            yield _between(before, now)
        before, first = now, False
        await asyncio.sleep(every)


async def _look(layout: Layout) -> _Looked:
    try:
        reader, writer = await asyncio.open_unix_connection(layout.keeper_socket, limit=1 << 24)
    except OSError:
        return 0.0, {}
    try:
        writer.write(b'{"id": 0, "do": "measure"}\n')
        while line := await reader.readline():
            reply = json.loads(line)
            if "id" in reply:  # what has ended is told to everybody
                return reply.get("at", 0.0), reply.get("used", {})
    except OSError:
        pass  # it has just ended
    finally:
        writer.close()
    return 0.0, {}


def _between(before: _Looked, now: _Looked) -> Mapping[str, Mapping[str, Load]]:
    """Compare two looks: cores in use are seconds of computing in a second. Who was there only once has yet to be known."""
    passed = now[0] - before[0]
    found: dict[str, dict[str, Load]] = defaultdict(dict)
    for name, (seconds, memory) in now[1].items():
        if name in before[1] and passed > 0:
            cluster, _, instance = name.partition("/")
            found[cluster][instance] = Load(max(0.0, seconds - before[1][name][0]) / passed, memory)
    return found
