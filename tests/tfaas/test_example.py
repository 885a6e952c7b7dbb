"""The example of the kaons, from its first cell to its last, in a kernel of its own."""

from collections.abc import Mapping
from typing import Any

import pytest
from demo import cells, judge_kaons
from jupyter_client.manager import start_new_kernel

from tests.place import ROOT, Place


@pytest.mark.timeout(400)
def test_a_network_of_ones_own_picks_out_kaons_through_an_endpoint(place: Place) -> None:
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(place.root))
    result: dict[str, Any] = {}
    shown: list[Mapping[str, str]] = []

    def take(message: Mapping[str, Any]) -> None:
        content = message["content"]
        assert message["msg_type"] != "error", "\n".join(content["traceback"])
        if "data" in content:
            shown.append(content["data"])
            result.update(content["data"].get("application/json", {}))

    try:
        for _, source in cells(ROOT / "examples" / "k0s.ipynb"):
            client.execute_interactive(source, output_hook=take, timeout=180)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    judge_kaons(result)
    said = "\n".join(one.get("text/plain", "") for one in shown)
    for step in ("✓ Exported", "✓ Uploaded", "✓ Converted", "✓ k0s is staged at tagger after", "✓ k0s measured after"):
        assert step in said
    assert any("<svg" in one.get("text/html", "") for one in shown), "the benchmark has a picture"
