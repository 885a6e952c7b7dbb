"""What runs in a job: calls of a Python function, whose results go into a file.

It goes with each job, so it needs nothing but the standard library; cloudpickle only where a function was written in a notebook.
A payload is one line of JSON, for what must be known before anything is unpickled, and a pickle of two: the function, the calls.
"""

import importlib
import json
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from typing import Any

__all__ = ["main", "run"]


def main(payload: str, result: str) -> int:
    """Do what a payload says. The outcomes stand in the file of results, all or none; returns an exit code."""
    outcomes = run(payload)
    with open(f"{result}.new", "wb") as file:  # noqa: PTH123 - pathlib takes as long to import as a short call takes
        pickle.dump(outcomes, file, pickle.HIGHEST_PROTOCOL)
    os.replace(f"{result}.new", result)  # noqa: PTH105
    return int(any(kind != "value" for kind, *_ in outcomes))


def run(payload: str) -> list[tuple[str, bytes, str]]:
    """Return the outcome of each call: its kind, a pickle of what it gave or raised, and words.

    Kinds are ``value``, ``raised``, ``lost`` (what it gave cannot be sent) and, of all calls at once, ``foreign`` (the function
    cannot be understood here).
    """
    with open(payload, "rb") as file:  # noqa: PTH123
        about = json.loads(file.readline())
        packed = file.read()
    here = list(sys.version_info[:2])
    try:
        _lay_modules(about.get("modules"))
        if about["by_value"] and about["python"] != here:
            return [("foreign", b"", _versions(about["python"], here))]
        function, calls = pickle.loads(packed)  # noqa: S301 - its own user's
        function, calls = pickle.loads(function), pickle.loads(calls)  # noqa: S301
    except BaseException as error:  # noqa: BLE001 - whatever it is, the user must read it
        words = f"{type(error).__name__}: {error}"
        return [("foreign", b"", words if about["python"] == here else f"{words}. {_versions(about['python'], here)}")]
    return [_call(function, arguments, named) for arguments, named in calls]


def _call(function: Callable[..., Any], arguments: Any, named: Any) -> tuple[str, bytes, str]:
    try:
        value = function(*arguments, **named)
    except BaseException as error:  # noqa: BLE001 - also SystemExit is the function's
        words = "".join(traceback.format_exception(type(error), error, _own(error.__traceback__)))
        try:
            return "raised", _dumps(error.with_traceback(None)), words
        except Exception:  # noqa: BLE001
            return "raised", b"", words
    try:
        return "value", _dumps(value), ""
    except Exception as error:  # noqa: BLE001
        return "lost", b"", f"{type(value).__name__}: {error}"


def _own(trace: Any) -> Any:
    """Leave out the frames of this file."""
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


def _dumps(value: object) -> bytes:
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception:  # noqa: BLE001 - such as of a class that was written in a notebook
        return bytes(importlib.import_module("cloudpickle").dumps(value))


def _lay_modules(file: str | None) -> None:
    """Make modules of the user's importable: where they come from, if this machine has the very same; otherwise a copy."""
    if file is None:
        return
    with open(file, "rb") as stream:  # noqa: PTH123
        bundles = pickle.load(stream)  # noqa: S301
    for number, (root, files) in enumerate(bundles):
        folder = root if all(_holds(os.path.join(root, path), content) for path, content in files.items()) else None  # noqa: PTH118
        if folder is None:
            folder = os.path.abspath(f"_modules{number}")  # noqa: PTH100
            for path, content in files.items():
                target = os.path.join(folder, path)  # noqa: PTH118
                os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
                with open(target, "wb") as stream:  # noqa: PTH123
                    stream.write(content)
        sys.path.insert(0, folder)


def _holds(path: str, content: bytes) -> bool:
    try:
        with open(path, "rb") as stream:  # noqa: PTH123
            return stream.read() == content
    except OSError:
        return False


def _versions(there: list[int], here: list[int]) -> str:
    return f"Python {there[0]}.{there[1]} has written it, and Python {here[0]}.{here[1]} runs the job"


if __name__ == "__main__":
    # What is pickled from here would be looked for in a module of another name.
    sys.modules["_dodas_job"] = sys.modules.pop("__main__")
    sys.modules["__main__"] = type(sys)("__main__")
    code = main(sys.argv[1], sys.argv[2])
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that the function left behind do not keep its slot.
    os._exit(code)
