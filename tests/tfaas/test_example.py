"""The example of the kaons, from its first cell to its last, in a kernel of its own."""

import pytest
from demo import judge_kaons

from tests.notebooks import run
from tests.place import Place


@pytest.mark.timeout(400)
def test_a_network_of_ones_own_picks_out_kaons_through_an_endpoint(place: Place) -> None:
    result, shown = run("k0s.ipynb", place.root)
    judge_kaons(result)
    said = "\n".join(one.get("text/plain", "") for one in shown)
    for step in ("✓ Exported", "✓ Uploaded", "✓ Converted", "✓ k0s is staged at tagger after", "✓ k0s measured after"):
        assert step in said
    assert any("<svg" in one.get("text/html", "") for one in shown), "the benchmark has a picture"
