"""Each parser, for seconds on end, with little memory: only errors of ours come out, soon."""

import os
import random
import subprocess
import sys

import pytest

from tests.place import ROOT
from tests.unit.inference.fuzzing import PARSERS

pytestmark = pytest.mark.timeout(300)

SECONDS = {"v2": 30.0}
"""30 for each protocol: TFaaS has more than one parser."""


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_gives_results_or_errors_of_ours(name: str) -> None:
    seconds, seed = SECONDS.get(name, 6.0), random.randrange(1 << 32)
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.inference.fuzzing", name, str(seconds), str(seed)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-3000:]}"
    assert int(done.stdout) > 50
