"""What the tests of the inference server share: models of every format, made once in a session."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of models that `making` describes. Nobody writes into it. DODAS_TEST_MODELS names one that is there already."""
    if given := os.environ.get("DODAS_TEST_MODELS"):
        return Path(given)
    return _made("making", tmp_path_factory)


@pytest.fixture(scope="session")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of models that `strange` describes, with `hostile` in it. Nobody writes into it."""
    return _made("strange", tmp_path_factory)


def _made(script: str, folders: pytest.TempPathFactory) -> Path:
    folder = folders.mktemp("models")
    made = subprocess.run(
        [sys.executable, Path(__file__).with_name(f"{script}.py"), folder],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-3000:]
    return folder
