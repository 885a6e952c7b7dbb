"""Hold codes become words: every code of HTCondor's has some, and the numbers and names in its reasons are not lost."""

import re

import pytest

from jupyter_dodas.services.htcondor.reasons import STATUS, UNDER_WAY, Explanation, explain, status

CODES = [code for code in range(1, 49) if code not in (28, 29, 30, 31)]
"""What HTCondor 23.9 documents for jobs. The four left out were those of programs that it no longer has."""

SPOOL = "Transfer input files failure at access point schedd@higgs while sending files. Details: reading from file "

TOLD = [
    (1, 0, "via condor_hold (by user alice)", "Put on hold by hand.", True),
    (1, 0, "Python-initiated action. (by user alice)", "Put on hold by hand.", True),
    (1, 0, "wrong year of data (by user alice)", "Put on hold by hand: wrong year of data.", True),
    (3, 0, "The job attribute PeriodicHold expression 'true' evaluated to TRUE", "(periodic_hold)", False),
    (3, 0, "The job attribute OnExitHold expression 'ExitCode != 0' evaluated to TRUE", "(on_exit_hold)", True),
    (3, 7, "too many restarts", "A policy in the submission became true: too many restarts.", True),
    (
        6,
        2,
        "Failed to execute '/x/condor_exec.exe': (errno=2: 'No such file or directory')",
        "interpreter in its first line",
        False,
    ),
    (6, 13, "Failed to execute '/x/run.sh': Permission denied", "may not be executed", False),
    (6, 8, "Failed to execute '/x/run.sh': Exec format error", "not one that this machine can execute", False),
    (12, 2, "Transfer output files failure. Details: reading from file /x/fit.root: (errno 2) No such file", "no fit.root", True),
    (13, 2, f"{SPOOL}/x/spool/7/0/events.root: (errno 2) No such file or directory", "there is no events.root", True),
    (13, 13, f"{SPOOL}/x/secret.txt: (errno 13) Permission denied", "secret.txt is not yours to open", True),
    (12, 28, "writing to file /x/out: (errno 28) No space left on device", "the disk is full", True),
    (12, 5, "", "input/output error", True),
    (13, 65536, "curl_plugin: something of its own", "could not be brought to the worker.", True),
    (
        34,
        102,
        "Job has gone over cgroup memory limit of 2048 megabytes. Peak usage: 2663 megabytes.",
        "2.6 GiB of memory were used, and 2 GiB asked for.",
        False,
    ),
    (34, 104, "Job has exceeded request_disk (1.00 GB). Consider increasing the value of request_disk.", "More disk", False),
    (21, 102, "memory usage exceeded request_memory", "More memory was used than asked for", False),
    (21, 101, "CPU usage exceeded request_cpus", "More cores", False),
    (21, 9, "no owner may run at night", "Stopped by the worker's policy: no owner may run at night.", False),
    (
        26,
        103,
        "The job ran for longer than the 60 seconds that this pool allows.",
        "The job ran for longer than the 60 seconds",
        False,
    ),
    (26, 103, "", "The pool's deadline for jobs has passed.", False),
    (26, 0, "no night shifts", "Held by the pool's policy: no night shifts.", False),
    (21, 102, "The job used more memory than the 128 MiB that it had asked for.", "than the 128 MiB asked for", False),
    (46, 0, "The job exceeded allowed job duration of 0+01:30:00", "The deadline of 1 h 30 min has passed.", False),
    (
        47,
        0,
        "The job exceeded allowed execute duration of 2+00:00:05",
        "The deadline for computing of 2 d 5 s has passed.",
        False,
    ),
    (999, 0, "a reason of\nthe future", "a reason of the future.", True),
    (999, 0, "", "Held by HTCondor.", True),
]


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_sentence_and_a_remedy(code: int) -> None:
    told = explain(code)
    assert told != explain(999), "no code of HTCondor's is unknown"
    for sentence in (told.words, told.remedy):
        assert re.fullmatch(r"[A-Z].+\.", sentence)
        assert not re.search(r"errno|ClassAd|shadow|starter|startd|schedd", sentence), "the words of a manual"


@pytest.mark.parametrize(("code", "subcode", "reason", "words", "release"), TOLD)
def test_what_htcondor_says_is_told_in_words(code: int, subcode: int, reason: str, words: str, release: bool) -> None:
    told = explain(code, subcode, reason)
    assert words in told.words
    assert told.release is release
    assert "/x/" not in told.words


def test_a_job_that_ran_out_of_memory_can_go_on_with_more() -> None:
    told = explain(21, 102, "memory usage exceeded request_memory", asked=200, used=230)
    assert told == Explanation("230 MiB of memory were used, and 200 MiB asked for.", "Release with 512 MiB.", False, 512)
    assert explain(34, 102, "Job has gone over cgroup memory limit of 2048 megabytes. Peak usage: 2663 megabytes.").memory == 5376
    assert explain(34, 102, "").memory == 0, "of nothing known nothing is proposed"


def test_a_long_reason_is_cut() -> None:
    assert len(explain(26, 0, "word " * 200).words) < 300


def test_every_status_has_a_word() -> None:
    assert [status(code) for code in (1, 2, 5, 8)] == ["waiting", "running", "held", "unknown"]
    assert len(set(STATUS.values())) == len(STATUS)
    assert not explain(UNDER_WAY).release
