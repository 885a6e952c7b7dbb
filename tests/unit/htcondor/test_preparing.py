"""Jobs in the making: what is read of those that somebody has described in HTCondor's own words."""

from pathlib import Path
from typing import Any

import pytest

from jupyter_dodas.services.htcondor.preparing import raw

REMAPS = "_condor_stdout=/data/out.0;x=y"


@pytest.mark.parametrize(
    "ad",
    [
        {"Iwd": "/work", "Out": "/data/out.0", "Err": "err"},
        {"Iwd": "/spool/1", "SUBMIT_Iwd": "/work", "Out": "_condor_stdout", "Err": "err", "SUBMIT_TransferOutputRemaps": REMAPS},
        {"Iwd": "/work", "Out": "_condor_stdout", "Err": "err", "TransferOutputRemaps": REMAPS},
    ],
    ids=["where it is", "spooled", "on its way"],
)
def test_output_is_where_its_description_says(ad: dict[str, Any]) -> None:
    work = raw(ad)
    assert work.folder / work.stdout == Path("/data/out.0")
    assert work.folder / work.stderr == Path("/work/err")
    assert work.lasting, "it is the user's folder"
