"""A preloaded process: it has imported what a kind's instances need, and forks them.

Importing is most of a launch: `distributed` takes a second, which two workers and a scheduler would each pay. The keeper starts one
such process for each kind that is wanted and sends it what to run; the children become the keeper's own (see `guard`).
"""

import atexit
import gc
import importlib
import json
import os
import random
import runpy
import signal
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Mapping

from jupyter_dodas.backends.local import guard

__all__ = ["start", "take_on"]


def _main(descriptor: int, alive: int, modules: list[str]) -> None:
    keeper = socket.socket(fileno=descriptor)
    for module in modules:
        importlib.import_module(module)
    # Nothing imported will be freed: leave it out of collections, whose marks would unshare the pages of every child.
    gc.collect()
    gc.freeze()
    with keeper.makefile("rb") as lines:
        for line in lines:
            run = json.loads(line)
            pid = guard.spawn(run, alive, start)
            keeper.sendall(json.dumps({"name": run["name"], "pid": pid}).encode() + b"\n")


def take_on(environment: Mapping[str, str]) -> None:
    """Have these variables and no others, and chances of one's own."""
    os.environ.clear()
    os.environ.update(environment)
    random.seed()
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()  # or every worker would draw the same numbers


def start(run: guard.Run) -> None:
    """Do what ``python -m module arguments`` does, with the module imported already. Never returns."""
    _, _, module, *arguments = run["command"]
    # As an interpreter sets them when it starts: a connection that breaks is an error to it, and not the end.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    take_on(run["environment"])
    sys.argv = [module, *arguments]
    sys.path[0:0] = [run["folder"], *filter(None, run["environment"].get("PYTHONPATH", "").split(os.pathsep))]
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    code = 0
    # It runs as __main__, once more beside the imported one, just as ``python -m`` of an imported module does.
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="runpy")
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)  # noqa: T201
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        code = 1
    # The interpreter of a forked child is not finalised; do what users rely on of it.
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
    atexit._run_exitfuncs()  # noqa: SLF001
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].split(","))
