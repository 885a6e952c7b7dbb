"""What HTCondor is told."""

import re
from pathlib import Path

import pytest

from jupyter_dodas.services.htcondor import configuration
from jupyter_dodas.services.htcondor.configuration import Pool
from jupyter_dodas.services.htcondor.daemons import Daemons

HERE = Path("/opt/htcondor")
POOL = Pool(
    "higgs.0123456789ab",
    "127.0.0.1:9618",
    Daemons(HERE, HERE / "bin", HERE / "sbin", HERE / "libexec", HERE / "lib", (23, 9, 6)),
    Path("/scratch/it"),
    "127.0.0.1",
)
MANAGER = configuration.manager(POOL, 9618, Path("/kept/flock.d"))
WORKER = configuration.worker(POOL, "worker-1", 9619, 2, 2**30)


@pytest.mark.parametrize("text", [MANAGER, WORKER])
def test_nobody_does_anything_without_a_token_and_nothing_is_in_the_clear(text: str) -> None:
    for level in ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY"):
        assert f"SEC_DEFAULT_{level} = REQUIRED\n" in text
    assert "SEC_DEFAULT_AUTHENTICATION_METHODS = IDTOKENS\n" in text
    assert not re.search(r"^SEC_READ_|^ALLOW_\w+ = \*$|OPTIONAL|NEVER$(?<!RESTART = NEVER)", text, re.MULTILINE)


@pytest.mark.parametrize("text", [MANAGER, WORKER])
def test_nothing_is_read_besides(text: str) -> None:
    assert "LOCAL_CONFIG_FILE = \n" in text
    assert re.findall(r"^LOCAL_CONFIG_DIR =[ ]?(.*)$", text, re.MULTILINE) in (["/kept/flock.d"], [""])


def test_a_worker_offers_what_it_was_asked_for() -> None:
    assert "NUM_CPUS = 2\nMEMORY = 1024\n" in WORKER
    assert "STARTD_DETECT_GPUS = False" in WORKER
    assert "use FEATURE:GPUs" in configuration.worker(POOL, "worker-1", 9619, 2, 2**30, gpus=1)


def test_jobs_are_held_for_their_time_only_where_there_is_a_bound() -> None:
    assert "PERIODIC_HOLD" not in MANAGER
    assert "JobCurrentStartDate > 60" in configuration.manager(POOL, 9618, Path("/kept/flock.d"), 60.0)


def test_variables_come_through_as_they_are_or_not_at_all() -> None:
    variables = {"PLAIN": "a b", "QUOTES": 'it\'s "so"', "MACRO": "$(HOME) $x", "LINES": "one\ntwo", "EMPTY": ""}
    line = next(
        line
        for line in configuration.worker(POOL, "w", 1, 1, 2**30, variables=variables).splitlines()
        if line.startswith("STARTER_JOB_ENVIRONMENT")
    )
    said = line.partition(" = ")[2]
    assert said == """"PLAIN='a b' QUOTES='it''s ""so""' MACRO='$(DOLLAR)(HOME) $(DOLLAR)x' EMPTY=''\""""
