"""Running an example from its first cell to its last, in a kernel of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from demo import cells
from jupyter_client.manager import start_new_kernel

from tests.place import ROOT

__all__ = ["run"]


def run(name: str, folder: Path) -> tuple[Mapping[str, Any], Sequence[Mapping[str, str]]]:
    """Return what an example has found, and everything that it has shown."""
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(folder))
    result: dict[str, Any] = {}
    shown: list[Mapping[str, str]] = []

    def take(message: Mapping[str, Any]) -> None:
        content = message["content"]
        assert message["msg_type"] != "error", "\n".join(content["traceback"])
        if "data" in content:
            shown.append(content["data"])
            result.update(content["data"].get("application/json", {}))

    try:
        for _, source in cells(ROOT / "examples" / name):
            client.execute_interactive(source, output_hook=take, timeout=180)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return result, shown
