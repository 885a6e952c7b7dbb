"""Limits by group, as a user meets them: told truthfully, and where they are enforced, hers to lower and not to raise."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from jupyter_dodas.backends.local import allowance
from jupyter_dodas.limits import Allowance
from jupyter_dodas.settings import Limits
from jupyter_dodas.testing.waiting import blocking_until
from tests.hubs import ROOT, Hub

SOMEBODY = 54321
"""A uid that nobody has."""

LIMITS = """
c.DodasSpawner.limits = {
    "cms": {"cores": 3, "memory": "6 GiB"},
    "*": {"cores": 1, "clusters": 2},
}
c.IAMAuthenticator.auth_refresh_age = 1
c.DodasSpawner.poll_interval = 1
"""


def test_a_hub_sets_the_limits_of_the_group_and_says_that_they_are_advisory(make_hub: Any) -> None:
    hub: Hub = make_hub(LIMITS)
    browser = hub.browser()
    browser.sign_in("alice")
    assert browser.spawn("alice").is_success
    variables = browser.variables("alice")
    found = told(variables)
    assert found["limits"] == {"cores": 3, "memory": 6 * 2**30, "workers": None, "clusters": 2}
    assert (found["groups"], found["enforced"]) == (["cms"], False)
    assert "advisory: your hub" in run([DODAS, "quota"], variables)
    assert "4 cores" in run([DODAS, "launch", "dask", "--workers", "4"], variables, exit_code=4)
    # They are those of the groups of now, also while the notebook runs.
    hub.iam.change("alice", groups=["cms/italy", "admins"])
    blocking_until(lambda: told(variables)["limits"], within=15, meets=lambda limits: limits["cores"] == 1)


# -- another account, whose limits belong to root ------------------------------------------------------------------------------


@pytest.fixture
def hers() -> Iterator[Mapping[str, str]]:
    """The variables of somebody with an account of her own, who may read everything here, and beside whose place stand limits."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("acting as somebody else takes root and setpriv")
    with tempfile.TemporaryDirectory(prefix="dodas-limits-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        for own in ("place", "run"):
            (folder / own).mkdir(mode=0o700)
            os.chown(folder / own, SOMEBODY, SOMEBODY)
        allowance.write(folder / "place", Allowance(limits=Limits(workers=1), groups=("cms",), enforced=True))
        variables = {"DODAS_STATE": str(folder / "place"), "DODAS_RUNTIME": str(folder / "run"), "DODAS_LINGER": "0"}
        variables["DODAS_NAMESPACES"] = "false"  # in a namespace of hers she could not read the interpreter
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        try:
            yield {
                **kept,
                **variables,
                "HOME": str(folder / "place"),
                "PYTHONPATH": str(ROOT / "tests" / "toy"),
                "USER": "somebody",
            }
        finally:
            end_everything_of(SOMEBODY)


def end_everything_of(uid: int) -> None:
    def left() -> list[int]:
        found = (process for process in Path("/proc").iterdir() if process.name.isdigit())
        return [int(process.name) for process in found if owner(process) == uid]

    def ended() -> bool:
        for process in left():
            subprocess.run(["kill", "-KILL", str(process)], check=False, capture_output=True)
        return not left()

    blocking_until(ended, within=20)


def owner(process: Path) -> int | None:
    try:
        return process.stat().st_uid
    except OSError:
        return None


@pytest.mark.parametrize("raised", [{"DODAS_LIMITS_WORKERS": "100"}, {"DODAS_LIMITS_WORKERS": "100", "DODAS_CONFIG": "/dev/null"}])
def test_enforced_limits_cannot_be_raised(hers: Mapping[str, str], raised: Mapping[str, str]) -> None:
    assert run([DODAS, "quota"], {**hers, **raised}, uid=SOMEBODY).startswith("Group cms: 0 of 1 worker\n")
    found = told({**hers, **raised}, uid=SOMEBODY)
    assert (found["limits"]["workers"], found["enforced"]) == (1, True)
    run([sys.executable, "-c", RAISE], {**hers, **raised}, uid=SOMEBODY)


def test_they_can_be_lowered(hers: Mapping[str, str]) -> None:
    assert told({**hers, "DODAS_LIMITS_WORKERS": "0"}, uid=SOMEBODY)["limits"]["workers"] == 0


def test_their_file_is_out_of_reach_and_what_she_could_write_is_not_believed(hers: Mapping[str, str]) -> None:
    run([sys.executable, "-c", ATTACK], hers, uid=SOMEBODY)
    assert told(hers, uid=SOMEBODY)["limits"]["workers"] == 1
    file = allowance.file_of(Path(hers["DODAS_STATE"]))
    os.chown(file, SOMEBODY, SOMEBODY)
    assert told(hers, uid=SOMEBODY)["enforced"] is False


def test_limits_that_cannot_be_read_are_not_passed_over(hers: Mapping[str, str]) -> None:
    file = allowance.file_of(Path(hers["DODAS_STATE"]))
    file.write_text("{")
    assert "The limits of this place cannot be read" in run([DODAS, "quota"], hers, uid=SOMEBODY, exit_code=2)


RAISE = """
import asyncio
import jupyter_dodas as dodas
from jupyter_dodas import settings
from jupyter_dodas.backends import places
from jupyter_dodas.errors import QuotaExceeded
from jupyter_dodas.spec import ClusterSpec

try:
    dodas.launch("toy", workers=2)
except QuotaExceeded as error:
    print(error)
else:
    raise SystemExit("it was launched")

with dodas.launch("toy", workers=1, name="one") as one:
    # Past every check of ours, by hand: the controller does not start it.
    place = places.backend(settings.load())
    record = asyncio.run(place.store.get("one"))
    spec = record.spec.model_copy(update={"options": {**record.spec.options, "workers": 5}})
    asyncio.run(place.store.change(spec))
    asyncio.run(place.wake("one"))
    while asyncio.run(place.store.get("one")).status.observed_generation != spec.generation + 1:
        pass
    found = asyncio.run(place.store.get("one")).status
    workers = [name for name, instance in found.instances.items() if instance.group]
    assert len(workers) == 1, workers
    assert dodas.quota().used.workers == 1
"""

ATTACK = """
import os
from pathlib import Path
file = Path(os.environ["DODAS_STATE"] + ".limits.json")
for attack in (
    lambda: file.write_text("{}"),
    lambda: file.unlink(),
    lambda: file.rename(file.with_suffix(".old")),
    lambda: Path(os.environ["DODAS_STATE"]).rename(os.environ["DODAS_STATE"] + "-2"),
    lambda: file.chmod(0o666),
    lambda: os.chown(file, os.getuid(), -1),
):
    try:
        attack()
    except PermissionError:
        continue
    raise SystemExit("it could be done")
"""

DODAS = str(Path(sys.executable).with_name("dodas"))


def run(command: list[str], variables: Mapping[str, str], *, uid: int | None = None, exit_code: int = 0) -> str:
    """Run something and return what it says; as another account that may read what is root's, as the interpreter may be."""
    if uid is not None:
        who = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--bounding-set=-all,+dac_read_search"]
        command = ["setpriv", *who, "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search", *command]
    ended = subprocess.run(command, check=False, env=dict(variables), capture_output=True, text=True, timeout=60, cwd="/")
    assert ended.returncode == exit_code, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def told(variables: Mapping[str, str], *, uid: int | None = None) -> dict[str, Any]:
    """What `dodas quota --json` tells."""
    found: dict[str, Any] = json.loads(run([DODAS, "quota", "--json"], variables, uid=uid))
    return found
