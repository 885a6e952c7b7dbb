"""Following jobs: what becomes of them where following itself fails."""

from pathlib import Path
from typing import NoReturn

import pytest

from jupyter_dodas.services.htcondor.following import Follower
from jupyter_dodas.services.htcondor.futures import Work
from jupyter_dodas.services.htcondor.session import Session


def test_a_failure_that_nobody_foresaw_reaches_whoever_waits(tmp_path: Path) -> None:
    def find() -> NoReturn:
        raise KeyError("schedd")

    def unasked(_: object) -> NoReturn:
        raise AssertionError

    session = Session(find)
    follower = Follower(session, "higgs", spool=False, gone=lambda: False, why=unasked)
    futures = follower.follow([Work({"executable": name}, tmp_path, (), read=unasked) for name in ("first", "second")])
    for future in futures:
        with pytest.raises(KeyError, match="schedd"):
            future.result(timeout=30)
    session.close()
