"""A loop for one widget, in a thread of its own: what it shows goes on while a cell runs."""

import asyncio
import atexit
import threading
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Background"]


class Background:
    """Runs coroutines until it is told to end. Any thread may call it, and it keeps no program alive."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._lock = threading.Lock()
        self._expected = 0
        self._finishing = self._ended = False
        self._thread = threading.Thread(target=self._run, name="dodas-widget", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def start(self, work: Callable[[], Coroutine[Any, Any, None]], name: str = "") -> bool:
        """Begin with this, which has to tell of its errors itself; false if it is too late."""
        with self._lock:
            if self._ended:
                return False
            self._expected += 1
            self._loop.call_soon_threadsafe(self._begin, work, name)
            return True

    def cancel(self, name: str) -> None:
        """End what was begun under this name."""
        self._call(self._cancel, lambda called: called == name)

    def finish(self) -> None:
        """End once all that was begun is done."""
        self._call(self._finish)

    def close(self) -> None:
        """End now, whatever is under way."""
        self._call(self._cancel, lambda _: True)
        self._call(self._finish)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        with self._lock:
            if not self._ended:
                self._loop.call_soon_threadsafe(function, *arguments)

    # -- in the thread of the loop ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            # Ends first what others have begun on this loop, such as the watches of a place.
            self._runner.close()
            atexit.unregister(self.close)

    def _begin(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        with self._lock:
            self._expected -= 1
        task = self._loop.create_task(work())
        self._tasks[task] = name
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        del self._tasks[task]
        self._end_if_idle()

    def _cancel(self, meant: Callable[[str], bool]) -> None:
        for task in [task for task, name in self._tasks.items() if meant(name)]:
            task.cancel()

    def _finish(self) -> None:
        self._finishing = True
        self._end_if_idle()

    def _end_if_idle(self) -> None:
        with self._lock:
            if self._finishing and not self._tasks and not self._expected:
                self._ended = True
                self._loop.stop()
