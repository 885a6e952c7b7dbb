"""Jobs that are too large, never end, or leave a crowd of processes behind: told at once, ended in time, cleaned up after."""

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

import jupyter_dodas as dodas
from jupyter_dodas.cluster import Cluster
from jupyter_dodas.errors import BadInput, DodasError
from jupyter_dodas.testing.waiting import blocking_until
from tests.place import Place, Process

pytestmark = pytest.mark.timeout(300)

UP: Final = 120.0
CROWD: Final = 150


@pytest.fixture
def pool(place: Place) -> Iterator[Cluster]:
    with dodas.launch("htcondor", name="higgs", workers=1, cores=1, memory="512 MiB", warm=False, timeout=UP) as made:
        yield made


def crowd(number: int, ends: bool) -> int:
    """Start processes that go their own ways, as far as they can."""
    for _ in range(number):
        subprocess.Popen(["/bin/sleep", "987"], start_new_session=True)
    if not ends:
        time.sleep(1000)
    return number


def left(place: Place) -> Sequence[str]:
    """What runs of a crowd on the worker."""

    def below(process: Process) -> Iterator[str]:
        with suppress(OSError):  # it may have ended
            for child in place.children(process):
                with suppress(OSError):
                    yield Path(f"/proc/{child.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                yield from below(child)

    return [command for command in below(place.instances("higgs")["worker-1"]) if "sleep 987" in command]


def test_nothing_of_a_crowded_job_outlives_it_and_the_next_one_runs(place: Place, pool: Cluster) -> None:
    """Whether it ends by itself, is taken away, or was to end long ago."""
    assert pool.submit(crowd, CROWD, True).result(timeout=UP) == CROWD
    blocking_until(lambda: left(place), within=30, meets=lambda found: not found)
    removed = pool.submit(crowd, CROWD, False)
    blocking_until(lambda: left(place), within=UP, meets=lambda found: len(found) == CROWD)
    removed.cancel()
    blocking_until(lambda: left(place), within=60, meets=lambda found: not found)
    late = pool.submit(crowd, CROWD, False, deadline=3)
    with pytest.raises(DodasError) as raised:
        late.result(timeout=UP)
    assert "3 s" in str(raised.value)
    blocking_until(lambda: left(place), within=60, meets=lambda found: not found)
    assert pool.submit(sum, [1, 2]).result(timeout=UP) == 3


def test_what_no_worker_has_is_told_before_it_is_submitted(pool: Cluster) -> None:
    for asked in ({"cpus": 2}, {"memory": "1 GiB"}, {"gpus": 1}, {"cpus": 10**9}, {"cpus": 0}, {"memory": "-1"}, {"deadline": 0}):
        with pytest.raises(BadInput) as raised:
            pool.submit(sum, [1, 2], **asked)
        assert raised.value.remedy, asked
    assert len(pool.queue()) == 0
