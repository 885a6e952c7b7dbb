"""The example of the scan, from its first cell to its last, in a kernel of its own."""

import pytest
from demo import judge_scan

from tests.notebooks import run
from tests.place import Place


@pytest.mark.timeout(400)
def test_jobs_of_a_pool_tell_how_sure_the_peak_is(place: Place) -> None:
    result, shown = run("batch.ipynb", place.root)
    judge_scan(result)
    assert any("scan  htcondor  ● ready" in one.get("text/plain", "") for one in shown), "the pool has its card"
    assert any("bootstrap" in one.get("text/html", "") for one in shown), "the history names the jobs"
    assert any("image/png" in one for one in shown), "there is a picture"
