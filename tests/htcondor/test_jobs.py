"""Jobs as a user has them: functions and programs, their results, and what is said when they do not run."""

import asyncio
import concurrent.futures
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import jupyter_dodas as dodas
from jupyter_dodas.cluster import Cluster
from jupyter_dodas.errors import BadInput, DodasError, JobFailed, JobHeld, JobRemoved, NotFound
from jupyter_dodas.testing.waiting import blocking_until
from tests.place import Place

pytestmark = pytest.mark.timeout(300)

PATIENT = 120


def function(code: str, name: str) -> Any:
    """A function as a notebook has it: of no module that anybody could import."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(code, namespace)
    return namespace[name]


NAP = "def nap(seconds):\n    import time\n    time.sleep(seconds)\n    return seconds\n"


def test_a_function_is_called_elsewhere_and_its_result_comes_back(pool: Cluster) -> None:
    where = function("def where(a, *, b):\n    import os\n    return a * b, os.getpid(), os.getcwd()\n", "where")
    future = pool.submit(where, 6, b=7)
    value, pid, folder = future.result(PATIENT)
    assert value == 42
    assert pid != os.getpid()
    assert not Path(folder).exists(), "a job works in a folder that goes with it"
    assert future.status() == "completed"
    assert future.job_id not in pool.queue().index, "what has been fetched is no longer shown"
    history = blocking_until(lambda: pool.history(5), within=PATIENT, meets=lambda frame: future.job_id in frame.index)
    assert (history.state[future.job_id], history.code[future.job_id]) == ("completed", 0)


def test_what_a_function_raises_is_raised_here_with_its_traceback(pool: Cluster) -> None:
    fail = function("class Own(Exception):\n    pass\ndef fail():\n    print('so far')\n    raise Own('no events left')\n", "fail")
    future = pool.submit(fail)
    with pytest.raises(Exception, match="no events left") as raised:
        future.result(PATIENT)
    assert type(raised.value).__name__ == "Own"
    assert "in fail" in str(raised.value.__cause__)
    assert future.stdout == "so far\n"


def test_programs_get_files_and_leave_files(pool: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("analysis.sh").write_text(
        '#!/bin/sh\necho cuts $(cat cuts.json) "$1" $LEVEL\nmkdir res; echo h > res/h.root; echo t > t.root\n'
    )
    Path("cuts.json").write_text("{}")
    future = pool.submit(
        "./analysis.sh",
        "two  words",
        inputs=["cuts.json"],
        outputs={"res/h.root": "kept/h.root", "t.root": tmp_path / "t2.root"},
        environment={"LEVEL": "3"},
    )
    result = future.result(PATIENT)
    assert (result.code, result.stdout) == (0, "cuts {} two  words 3\n")
    assert (tmp_path / "kept" / "h.root").read_text() == "h\n"
    assert future.outputs["t.root"].read_text() == "t\n"
    kept = pool.submit("/bin/sh", "-c", "echo x > out", outputs=["out"]).result(PATIENT)
    assert kept.outputs["out"].read_text() == "x\n"
    assert kept.outputs["out"].parent == kept.folder


def test_a_program_that_fails_says_how(pool: Cluster) -> None:
    failing = pool.submit("/bin/sh", "-c", "echo what happened >&2; exit 3")
    killed = pool.submit("/bin/sh", "-c", "kill -9 $$", outputs=["never"])
    incomplete = pool.submit("/bin/true", outputs=["hist.root"])
    for future, words in ((failing, "exit code 3"), (killed, "signal 9"), (incomplete, "has not left hist.root")):
        with pytest.raises(JobFailed, match=words):
            future.result(PATIENT)
    assert failing.stderr == "what happened\n"


def test_arrays_and_maps_keep_their_order(pool: Cluster) -> None:
    square = function("def square(x):\n    if x == 13:\n        raise ValueError('unlucky')\n    return x * x\n", "square")
    futures = pool.array(square, range(8))
    results = pool.map(square, range(100), bundle=40)
    assert [future.result(PATIENT) for future in futures] == [x * x for x in range(8)]
    assert len({future.job_id.partition(".")[0] for future in futures}) == 1, "an array is one cluster"
    assert len(results.jobs) == 3
    found: list[Any] = []
    while len(results):
        try:
            found.append(next(results))
        except ValueError as error:
            found.append(str(error))
    assert found == [x * x if x != 13 else "unlucky" for x in range(100)]


def test_what_can_never_run_is_told_at_once(pool: Cluster) -> None:
    lock = threading.Lock()
    for what, asked, words in (
        (len, {"cpus": 4}, "4 cores"),
        (len, {"memory": "2 GiB"}, "2 GiB"),
        (len, {"gpus": 1}, "1 GPU"),
        (lambda: lock, {}, "cannot be sent"),
        ("./nothing.sh", {}, "no program"),
        ("/bin/cat", {"inputs": ["/nothing"]}, "cannot be read"),
        (5, {}, "nothing that a job can do"),
    ):
        with pytest.raises(BadInput, match=words):
            pool.submit(what, **asked)


def test_a_deadline_ends_what_would_never_end(pool: Cluster) -> None:
    with pytest.raises(JobRemoved, match="deadline of 2 s"):
        pool.submit(function(NAP, "nap"), 1000, deadline=2).result(PATIENT)


def test_waiting_held_released_removed(pool: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    nap = function(NAP, "nap")
    first, second, third = (pool.submit(nap, 600, name="long") for _ in range(3))
    blocking_until(lambda: (first.status(), second.status()), within=PATIENT, meets=lambda states: set(states) == {"running"})
    blocking_until(third.why, within=PATIENT, meets=lambda why: "busy" in str(why))
    assert list(pool.queue('JobBatchName == "long"').name) == ["long"] * 3

    schedd = pool.client()
    action = sys.modules["htcondor2"].JobAction
    schedd.act(action.Hold, [third.job_id], ("the data is wrong", 0))
    with pytest.raises(JobHeld, match="the data is wrong"):
        third.result(PATIENT)
    assert "the data is wrong" in pool.queue().reason[third.job_id]
    assert pool.release(third) == 1
    assert first.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        first.result(PATIENT)
    blocking_until(third.status, within=PATIENT, meets=lambda state: state == "running")
    blocking_until(lambda: third.held, within=PATIENT, meets=lambda reason: reason is None)
    assert pool.remove([second, third]) == 2
    for future in (second, third):
        with pytest.raises(JobRemoved):
            future.result(PATIENT)
    with pytest.raises(NotFound):
        pool.why("9999.0")


def test_descriptions_in_htcondors_own_words(pool: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run.sh").write_text("#!/bin/sh\necho hello $1\n")
    Path("run.sh").chmod(0o755)
    said = "executable = run.sh\narguments = $(Process)\noutput = out.$(Process)\nrequest_memory = 64\nqueue 2\n"
    futures = pool.submit_description(said)
    assert [future.result(PATIENT).stdout for future in futures] == ["hello 0\n", "hello 1\n"]
    assert Path("out.1").read_text() == "hello 1\n"
    with pytest.raises(BadInput, match="does not take"):
        pool.submit_description({"executable": "run.sh", "request_cpus": "1 +"})
    (picky,) = pool.submit_description({"executable": "run.sh", "requirements": 'TARGET.Flavour == "sweet"'})
    assert "Flavour" in str(blocking_until(picky.why, within=PATIENT, meets=lambda why: "Flavour" in str(why)))
    assert picky.cancel()


LOST = """\
import os, sys, time
from pathlib import Path
import jupyter_dodas as dodas

gate, kept = sys.argv[1:]


def square(x):
    while not os.path.exists(gate):
        time.sleep(0.1)
    if x == 13:
        raise ValueError("unlucky")
    return x * x


until = 'until [ -e "$0" ]; do sleep 0.1; done; echo by a program; echo x > out; echo y > other'
pool = dodas.connect("higgs")
futures = [pool.submit(square, 6), pool.submit(square, 13)]
futures.append(pool.submit("/bin/sh", "-c", until, gate, outputs={"out": kept, "other": None}, name="program"))
futures += pool.map(square, range(5), bundle=3).jobs
names = [future.job_id for future in futures]
futures += pool.submit_description({"executable": "/bin/ls", "arguments": gate, "output": "raw", "hold": "true"})
print(*names, futures[-1].job_id, flush=True)
time.sleep(600)
"""


def test_what_a_killed_process_has_submitted_is_found_again(pool: Cluster, tmp_path: Path) -> None:
    gate, kept = tmp_path / "gate", tmp_path / "kept" / "out"
    command = [sys.executable, "-c", LOST, str(gate), str(kept)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            assert process.stdout is not None
            names = process.stdout.readline().split()
        finally:
            process.kill()
    gate.touch()
    assert len(names) == 6
    mine = pool.submit(function(NAP, "nap"), 0.1)
    assert mine.result(PATIENT) == 0.1, "the others are before it, so some have ended"
    pool.release(names[-1])

    again = dodas.connect("higgs")
    assert [future.job_id for future in again.jobs('JobBatchName == "program"')] == [names[2]]
    found = again.jobs()
    assert [future.job_id for future in found] == names
    assert {*map(id, again.jobs())} <= {*map(id, found)}, "a job has one future"
    six, unlucky, program, first, second, raw = found
    assert six.result(PATIENT) == 36
    with pytest.raises(ValueError, match="unlucky"):
        unlucky.result(PATIENT)
    assert program.result(PATIENT).stdout == "by a program\n"
    assert kept.read_text() == "x\n"
    assert program.outputs["other"].read_text() == "y\n"
    assert (first.result(PATIENT), second.result(PATIENT)) == ([0, 1, 4], [9, 16])
    assert raw.result(PATIENT, through_hold=True).stdout == f"{gate}\n"
    assert blocking_until(again.jobs, within=PATIENT, meets=lambda left: not left) == []


def test_a_result_goes_to_one_process_and_the_other_is_told(pool: Cluster) -> None:
    nap = function(NAP, "nap")
    mine = [pool.submit(nap, seconds) for seconds in (0, 0.1, 0.2, 0.3)]
    assert pool.jobs() == mine, "the very futures"
    others = dodas.connect("higgs").jobs()
    assert {future.job_id for future in others} <= {future.job_id for future in mine}
    values = {future.job_id: value for future, value in zip(mine, (0, 0.1, 0.2, 0.3), strict=True)}
    got = []
    for future in (*mine, *others):
        error = future.exception(PATIENT)
        if error is None:
            assert future.result() == values[future.job_id]
            got.append(future.job_id)
        else:
            assert isinstance(error, JobRemoved)
            assert "fetched already" in str(error)
    assert sorted(got) == sorted(values)


def test_waiting_can_be_interrupted_and_awaited(pool: Cluster) -> None:
    future = pool.submit(function(NAP, "nap"), 3)
    began = time.monotonic()
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        future.result(PATIENT)
    assert time.monotonic() - began < 10

    async def ask() -> Any:
        return await future

    assert asyncio.run(asyncio.wait_for(ask(), PATIENT)) == 3
    with pytest.raises(DodasError, match="within 0"):
        pool.submit(function(NAP, "nap"), 1).result(0.01)


def test_jobs_find_the_token_in_a_private_file(place: Place) -> None:
    """And two pools in one process, the second under the name of the first."""
    folder = place.root / "credentials"
    folder.mkdir(mode=0o700)
    (folder / "token").write_text("a-token")
    (folder / "token").chmod(0o600)
    look = function(
        "def look():\n    import os\n    path = os.environ['BEARER_TOKEN_FILE']\n"
        "    return open(path).read(), os.stat(path).st_mode, "
        "[k for k, v in os.environ.items() if 'a-token' in v], "
        "open('.job.ad').read()\n",
        "look",
    )
    futures = []
    for _ in range(2):
        with dodas.launch(
            "htcondor", name="muons", workers=1, memory="256 MiB", timeout=240, environment={"credentials": str(folder)}
        ) as pool:
            token, mode, exposed, ad = pool.submit(look).result(PATIENT)
            futures.append(pool.submit(time.sleep, 600))
            assert (token, stat.S_IMODE(mode), exposed) == ("a-token", 0o600, [])
            assert "a-token" not in ad
            assert futures[-1].job_id
    for future in futures:
        with pytest.raises(JobRemoved, match="has been stopped"):
            future.result(PATIENT)
