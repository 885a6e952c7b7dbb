"""The example of the scan, from its first cell to its last, in a kernel of its own."""

from collections.abc import Mapping
from typing import Any

import pytest
from demo import cells, judge_scan
from jupyter_client.manager import start_new_kernel

from tests.place import ROOT, Place


@pytest.mark.timeout(400)
def test_jobs_of_a_pool_tell_how_sure_the_peak_is(place: Place) -> None:
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
        for _, source in cells(ROOT / "examples" / "batch.ipynb"):
            client.execute_interactive(source, output_hook=take, timeout=180)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    judge_scan(result)
    assert any("scan  htcondor  ● ready" in one.get("text/plain", "") for one in shown), "the pool has its card"
    assert any("bootstrap" in one.get("text/html", "") for one in shown), "the history names the jobs"
    assert any("image/png" in one for one in shown), "there is a picture"
