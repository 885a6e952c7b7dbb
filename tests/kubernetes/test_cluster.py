"""The test cluster itself: it starts, mends itself, and leaves nothing behind, however it ends."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from jupyter_dodas.testing.waiting import blocking_until
from tests.place import ROOT

NUMBER = "15"
PARTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "containerd", "kubelet", "kube-proxy")


class Machine:
    """A cluster beside the one that the other tests use, with the same programs and the fewest images."""

    def __init__(self) -> None:
        # Short, since a socket's path has at most 107 bytes.
        self.cache = Path(tempfile.mkdtemp(prefix="dodas-"))
        self.shelf = self.cache / "jupyter-dodas" / "kubernetes"
        self.run = self.shelf / f"cluster-{NUMBER}" / "run"
        self._variables = {**os.environ, "DODAS_TEST_CLUSTER": NUMBER}
        self("build")
        shared = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jupyter-dodas" / "kubernetes"
        self.shelf.mkdir(parents=True)
        for program in [shared / "debian", *shared.glob("programs-*")]:
            (self.shelf / program.name).symlink_to(program)
        self._variables["XDG_CACHE_HOME"] = str(self.cache)

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `script/kubernetes`."""
        done = subprocess.run(self._command(*arguments), env=self._variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done

    def start(self) -> subprocess.Popen[bytes]:
        """Begin to start it, as in a terminal, where a Ctrl-C is heard."""
        command = ["env", "--default-signal=INT", *self._command("up")]
        return subprocess.Popen(command, env=self._variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def processes(self, name: str = "") -> Sequence[int]:
        """Return everything of the cluster that runs, pods included, or the programs of a name."""
        return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if self._ours(folder, name)]

    def left(self) -> Sequence[str]:
        """Name what of the cluster this machine still has, besides files."""
        left = [f"process {process}" for process in self.processes()]
        left += [str(group) for group in Path("/sys/fs/cgroup").glob(f"**/dodas-cluster-{NUMBER}")]
        left += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(self.cache) in line]
        shown = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
        return left + [line for line in shown.splitlines() if f"dodas{NUMBER} " in line]

    def close(self) -> None:
        """End it, and remove its files."""
        self("down")
        shutil.rmtree(self.cache)

    def _ours(self, folder: Path, name: str) -> bool:
        try:
            command = os.fsdecode((folder / "cmdline").read_bytes()).split("\0")
            ours = str(self.cache) in " ".join([*command, str((folder / "cwd").readlink())])
            if name:
                return ours and Path(command[0]).name == name
            return ours or f"/dodas-cluster-{NUMBER}/" in (folder / "cgroup").read_text()
        except OSError:
            return False

    @staticmethod
    def _command(*arguments: str) -> Sequence[str]:
        return [str(ROOT / "script" / "kubernetes"), *arguments]


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if os.geteuid():
        pytest.skip("A test cluster needs root.")
    machine = Machine()
    yield machine
    machine.close()


@pytest.fixture
def cluster(machine: Machine) -> Machine:
    machine("up")
    return machine


def test_it_is_up_in_half_a_minute_from_the_second_time(cluster: Machine) -> None:
    cluster("down")
    began = time.monotonic()
    told = cluster("up").stdout
    assert time.monotonic() - began < 30
    assert cluster("status").stdout.splitlines()[:2] == ["The cluster is up; its node is ready, and names resolve.", told.strip()]


def test_a_second_up_changes_nothing(cluster: Machine) -> None:
    before = cluster.processes("kubelet")
    assert "runs already" in cluster("up").stderr
    assert cluster.processes("kubelet") == before


def test_down_leaves_nothing_but_images(cluster: Machine) -> None:
    images = [line for line in cluster("status").stdout.splitlines() if line.startswith("image ")]
    assert len(images) >= 2
    cluster("down")
    assert cluster.left() == []
    down = cluster("status", check=False)
    assert (down.returncode, down.stdout) == (1, "The cluster is down.\n")
    cluster("up")
    assert [line for line in cluster("status").stdout.splitlines() if line.startswith("image ")] == images


def test_down_twice_is_no_error(machine: Machine) -> None:
    machine("down")
    machine("down")


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_killed_comes_back(cluster: Machine, part: str) -> None:
    (before,) = cluster.processes(part)
    os.kill(before, signal.SIGKILL)
    (after,) = blocking_until(lambda: [process for process in cluster.processes(part) if process != before], within=10)
    assert after != before
    blocking_until(lambda: cluster("status", check=False), within=60, meets=lambda told: told.returncode == 0)
    cluster("kubectl", "create", "configmap", f"after-{part}")


def test_a_part_that_is_to_fail_stays_away_as_long_as_it_is_told(cluster: Machine) -> None:
    (before,) = cluster.processes("kube-apiserver")
    began = time.monotonic()
    cluster("fail", "kube-apiserver", "5")
    assert before not in cluster.processes("kube-apiserver")
    blocking_until(lambda: cluster.processes("kube-apiserver"), within=20)
    assert time.monotonic() - began >= 5


@pytest.mark.parametrize("first", ["unshare", "python"])
def test_nothing_survives_the_first_process(cluster: Machine, first: str) -> None:
    # Process 1 is the child of the program that made its namespaces.
    keepers = sorted(process for process in cluster.processes() if "cluster.node" in Path(f"/proc/{process}/cmdline").read_text())
    assert len(keepers) == 2
    os.kill(keepers[0 if first == "unshare" else 1], signal.SIGKILL)
    blocking_until(cluster.processes, within=20, meets=lambda running: not running)
    assert cluster("status", check=False).returncode == 1
    # It starts again all the same, and what ran before does not come with it.
    cluster("up")
    pods = cluster("kubectl", "get", "pods", "--all-namespaces", "--output", "name").stdout.split()
    assert len(pods) == 1
    cluster("down")
    assert cluster.left() == []


def test_a_start_that_is_interrupted_takes_back_what_it_has_started(machine: Machine) -> None:
    machine("down")
    starting = machine.start()
    blocking_until(lambda: machine.processes("kube-apiserver"), within=60)
    starting.send_signal(signal.SIGINT)
    assert starting.wait(timeout=60) == 130
    assert machine.left() == []


def test_a_start_that_is_killed_half_way_leaves_nothing_that_down_does_not_end(machine: Machine) -> None:
    machine("down")
    starting = machine.start()
    blocking_until(lambda: machine.processes("kube-apiserver"), within=60)
    starting.kill()
    starting.wait()
    machine("down")
    assert machine.left() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sideways"], "There is no verb"),
        (["fail", "kubelet"], "the cluster is down"),
        (["fail", "kubelet", "soon"], "soon"),
        (["fail", "the-weather"], "the-weather"),
    ],
)
def test_bad_input_is_told(machine: Machine, arguments: Sequence[str], said: str) -> None:
    if arguments[0] == "fail" and arguments[1:] != ["kubelet"]:
        machine("up")
    else:
        machine("down")
    told = machine(*arguments, check=False)
    assert told.returncode == 1
    assert said in told.stderr
    assert "Traceback" not in told.stderr
