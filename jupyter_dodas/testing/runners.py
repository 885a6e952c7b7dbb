"""What a runner owes the controller, and what one of real programs owes those programs besides."""

# ruff: noqa: D102 - a test's name says what it shows

import asyncio
import json
from collections.abc import AsyncIterator
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final

import pytest

from jupyter_dodas.backends.base import InstanceState, Runner, Running
from jupyter_dodas.services.base import Instance
from jupyter_dodas.testing.waiting import until

__all__ = ["Does", "ProgramContract", "RunnerContract"]

_SOON: Final = 20.0
"""Seconds within which an instance must have started or ended."""


class Does(Enum):
    """What an instance of these tests does."""

    STAY = auto()
    """Says ``here`` and runs until it is told to end."""
    RESIST = auto()
    """Says ``here`` and runs on when it is told politely; its grace is half a second."""
    LEAVE = auto()
    """Says ``first`` and ``last`` on two lines, and ends well."""
    FAIL = auto()
    """Ends with exit code 3."""
    WORK = auto()
    """Computes for 0.3 seconds or more, in a child, and ends well."""


class Contract:
    """What both suites use."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Everything here is asyncio's."""
        return "asyncio"

    @pytest.fixture
    def runner(self) -> Runner:
        """Return a runner without instances."""
        raise NotImplementedError

    @pytest.fixture
    def clusters(self) -> tuple[str, str]:
        """Return the names of two clusters that may have instances."""
        raise NotImplementedError


@pytest.mark.anyio
class RunnerContract(Contract):
    """Subclass it and supply `runner`, `clusters` and `instance`."""

    def instance(self, cluster: str, name: str, does: Does) -> Instance:
        """Describe an instance that does this."""
        raise NotImplementedError

    # -- start --------------------------------------------------------------------------------------------------------

    async def test_nothing_runs_at_first(self, runner: Runner, clusters: tuple[str, str]) -> None:
        assert await runner.observe(clusters[0]) == {}
        assert set(await runner.clusters()) == set()
        assert await runner.logs("unheard-of") == {}

    async def test_what_was_applied_runs(self, runner: Runner, clusters: tuple[str, str]) -> None:
        one, other = clusters
        await runner.apply(self.instance(one, "hub", Does.STAY))
        await runner.apply(self.instance(one, "worker-1", Does.STAY))
        await runner.apply(self.instance(other, "hub", Does.STAY))
        assert await runner.observe(one) == {"hub": Running(InstanceState.RUNNING), "worker-1": Running(InstanceState.RUNNING)}
        assert set(await runner.observe(other)) == {"hub"}
        assert set(await runner.clusters()) == {one, other}

    async def test_applying_twice_runs_one(self, runner: Runner, clusters: tuple[str, str]) -> None:
        one = clusters[0]
        for _ in range(3):
            await runner.apply(self.instance(one, "hub", Does.STAY))
        await _says(runner, one, "hub", "here")
        await runner.delete(one, "hub")
        await _ended(runner, one, "hub")
        assert (await runner.logs(one))["hub"].count("here") == 1

    async def test_places_are_distinct(self, runner: Runner, clusters: tuple[str, str]) -> None:
        places = [await runner.place(cluster, f"worker-{n}", ("comm", "ui")) for cluster in clusters for n in range(5)]
        assert all(set(place.ports) == {"comm", "ui"} and place.host for place in places)
        assert len({place[port] for place in places for port in place.ports}) == 20
        assert (await runner.place(clusters[0], "worker-9", ())).ports == {}

    async def test_it_lives_one_life(self, runner: Runner, clusters: tuple[str, str]) -> None:
        epoch = runner.epoch
        await runner.apply(self.instance(clusters[0], "hub", Does.LEAVE))
        await _ended(runner, clusters[0], "hub")
        assert epoch
        assert runner.epoch == epoch

    # -- end ----------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(("does", "ok", "word"), [(Does.LEAVE, True, "0"), (Does.FAIL, False, "3")])
    async def test_the_end_of_one_by_itself_is_seen(
        self, runner: Runner, clusters: tuple[str, str], does: Does, ok: bool, word: str
    ) -> None:
        async with runner.watch() as hints:
            await runner.apply(self.instance(clusters[0], "hub", does))
            await _hear(hints, clusters[0])
        ended = await _ended(runner, clusters[0], "hub")
        assert ended.ok is ok
        assert ended.exit is not None
        assert word in ended.exit

    async def test_an_ended_one_stays_until_it_is_forgotten(self, runner: Runner, clusters: tuple[str, str]) -> None:
        one = clusters[0]
        await runner.apply(self.instance(one, "hub", Does.FAIL))
        ended = await _ended(runner, one, "hub")
        await runner.apply(self.instance(one, "hub", Does.STAY))
        assert await runner.observe(one) == {"hub": ended}
        assert set(await runner.clusters()) == {one}
        for _ in range(2):
            await runner.forget(one, "hub")
            assert await runner.observe(one) == {}
        assert set(await runner.clusters()) == set()
        await runner.apply(self.instance(one, "hub", Does.STAY))
        assert await runner.observe(one) == {"hub": Running(InstanceState.RUNNING)}

    async def test_a_running_one_is_not_forgotten(self, runner: Runner, clusters: tuple[str, str]) -> None:
        await runner.apply(self.instance(clusters[0], "hub", Does.STAY))
        await runner.forget(clusters[0], "hub")
        assert set(await runner.observe(clusters[0])) == {"hub"}

    @pytest.mark.parametrize("does", [Does.STAY, Does.RESIST])
    async def test_who_is_asked_to_end_ends(self, runner: Runner, clusters: tuple[str, str], does: Does) -> None:
        one = clusters[0]
        await runner.apply(self.instance(one, "hub", does))
        await runner.apply(self.instance(one, "worker-1", Does.STAY))
        await _says(runner, one, "hub", "here")
        async with runner.watch() as hints:
            for _ in range(3):
                await runner.delete(one, "hub")
            await _hear(hints, one)
        await _ended(runner, one, "hub")
        await runner.delete(one, "hub")
        assert (await runner.observe(one))["worker-1"].state is InstanceState.RUNNING

    async def test_who_is_killed_ends(self, runner: Runner, clusters: tuple[str, str]) -> None:
        one = clusters[0]
        await runner.apply(self.instance(one, "hub", Does.RESIST))
        await _says(runner, one, "hub", "here")
        await runner.delete(one, "hub")
        await runner.kill(one, "hub")
        ended = await _ended(runner, one, "hub")
        assert not ended.ok
        await runner.kill(one, "hub")
        await runner.forget(one, "hub")
        assert await runner.observe(one) == {}

    @pytest.mark.parametrize("end", ["delete", "kill"])
    async def test_who_is_ended_before_it_has_begun_ends(self, runner: Runner, clusters: tuple[str, str], end: str) -> None:
        names = [f"worker-{number}" for number in range(4)]
        for name in names:
            await runner.apply(self.instance(clusters[0], name, Does.STAY))
            await getattr(runner, end)(clusters[0], name)
        for name in names:
            await _ended(runner, clusters[0], name)

    async def test_nobody_minds_ending_what_is_not_there(self, runner: Runner, clusters: tuple[str, str]) -> None:
        await runner.delete(clusters[0], "nobody")
        await runner.kill(clusters[0], "nobody")
        await runner.forget(clusters[0], "nobody")
        await runner.forget("unheard-of", "nobody")
        assert await runner.observe(clusters[0]) == {}

    # -- what is left -------------------------------------------------------------------------------------------------

    async def test_what_was_said_can_be_read(self, runner: Runner, clusters: tuple[str, str]) -> None:
        one, other = clusters
        await runner.apply(self.instance(one, "hub", Does.LEAVE))
        await runner.apply(self.instance(one, "worker-1", Does.STAY))
        await _says(runner, one, "worker-1", "here")
        await _ended(runner, one, "hub")
        await runner.forget(one, "hub")
        assert {name: text.split() for name, text in (await runner.logs(one)).items()} == {
            "hub": ["first", "last"],
            "worker-1": ["here"],
        }
        assert (await runner.logs(one, "hub", lines=1)) == {"hub": "last"}
        assert await runner.logs(one, "nobody") == {}
        assert await runner.logs(other) == {}

    async def test_what_was_taken_is_measured_children_included(self, runner: Runner, clusters: tuple[str, str]) -> None:
        await runner.apply(self.instance(clusters[0], "hub", Does.WORK))
        ended = await _ended(runner, clusters[0], "hub")
        assert ended.ok, await runner.logs(clusters[0])
        assert 0.25 < ended.cpu_seconds < _SOON
        assert ended.peak_memory > 2**20


@pytest.mark.anyio
class ProgramContract(Contract):
    """What a program finds around it, in a runner of real ones. Subclass it and supply `runner` and `clusters`."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Return a folder that this test and the instances see."""
        return tmp_path

    async def test_variables_and_names(self, runner: Runner, clusters: tuple[str, str]) -> None:
        found = await self.reports(
            runner, _script(clusters[0], "worker-7", _VARIABLES, variables={"SPEED": "of light = c", "EMPTY": "", "Ü": "ß"})
        )
        assert (found["SPEED"], found["EMPTY"], found["Ü"]) == ("of light = c", "", "ß")
        assert (found["DODAS_CLUSTER"], found["DODAS_INSTANCE"]) == (clusters[0], "worker-7")

    async def test_the_working_folder(self, runner: Runner, clusters: tuple[str, str], folder: Path) -> None:
        (folder / "data.txt").write_text("collisions")
        code = "import json; print(json.dumps(open('data.txt').read()))"
        assert await self.reports(runner, _script(clusters[0], "hub", code, folder=str(folder))) == "collisions"

    async def test_files_and_modules_lie_beside_it(self, runner: Runner, clusters: tuple[str, str], folder: Path) -> None:
        (folder / "selection.py").write_text("CUT = 20")
        (folder / "tables").mkdir()
        (folder / "tables" / "weights.txt").write_text("0.5")
        (folder / "analysis").mkdir()
        (folder / "analysis" / "__init__.py").write_text("NAME = 'z'")
        files = tuple(str(folder / name) for name in ("selection.py", "tables", "analysis"))
        code = (
            "import json, os, pathlib, selection, analysis\n"
            "weights = pathlib.Path(os.environ['DODAS_FILES'], 'tables', 'weights.txt').read_text()\n"
            "print(json.dumps([selection.CUT, analysis.NAME, weights]))"
        )
        for name in ("worker-1", "worker-2"):
            assert await self.reports(runner, _script(clusters[0], name, code, files=files)) == [20, "z", "0.5"]

    async def test_credentials_are_pointed_to(self, runner: Runner, clusters: tuple[str, str], folder: Path) -> None:
        private = folder / "private"
        private.mkdir(mode=0o700)
        (private / "token").write_text("bearer")
        (private / "x509up").write_text("proxy")
        code = (
            "import json, os, pathlib\n"
            "names = 'BEARER_TOKEN_FILE', 'X509_USER_PROXY'\n"
            "print(json.dumps([pathlib.Path(os.environ[name]).read_text() for name in names]))"
        )
        found = await self.reports(runner, _script(clusters[0], "hub", code, credentials=str(private)))
        assert found == ["bearer", "proxy"]

    async def test_a_folder_that_has_gone_is_named_in_the_log(
        self, runner: Runner, clusters: tuple[str, str], folder: Path
    ) -> None:
        await runner.apply(_script(clusters[0], "hub", "", folder=str(folder / "gone")))
        ended = await _ended(runner, clusters[0], "hub")
        assert not ended.ok
        assert str(folder / "gone") in (await runner.logs(clusters[0]))["hub"]

    async def test_a_program_that_is_not_there_is_named_in_the_log(self, runner: Runner, clusters: tuple[str, str]) -> None:
        await runner.apply(Instance("hub", clusters[0], "hub", ("no-such-program", "--flag")))
        ended = await _ended(runner, clusters[0], "hub")
        assert not ended.ok
        assert "no-such-program" in (await runner.logs(clusters[0]))["hub"]

    async def test_preloading_makes_no_difference(self, runner: Runner, clusters: tuple[str, str]) -> None:
        """Modules that are imported already, or cannot be, change nothing of what a command does."""
        for number, preload in enumerate([(), ("json", "email.mime.text"), ("no_such_module",)]):
            module = Instance(f"module-{number}", clusters[0], "hub", ("python", "-m", "calendar", "2026", "11"), preload=preload)
            await runner.apply(module)
            assert (await _ended(runner, clusters[0], module.name)).ok
            assert "November 2026" in (await runner.logs(clusters[0]))[module.name]
            script = _script(clusters[0], f"script-{number}", "print('[1, 2]')", preload=preload)
            assert await self.reports(runner, script) == [1, 2]

    async def reports(self, runner: Runner, instance: Instance) -> Any:
        """Run an instance to its end, and return what it printed as JSON."""
        await runner.apply(instance)
        ended = await _ended(runner, instance.cluster, instance.name)
        said = (await runner.logs(instance.cluster))[instance.name]
        assert ended.ok, said
        return json.loads(said)


_VARIABLES: Final = "import json, os; print(json.dumps(dict(os.environ)))"


def _script(cluster: str, name: str, code: str, **around: Any) -> Instance:
    return Instance(name, cluster, "hub", ("python", "-c", code), **around)


async def _ended(runner: Runner, cluster: str, name: str) -> Running:
    seen = await until(lambda: runner.observe(cluster), within=_SOON, meets=lambda seen: seen[name].state is InstanceState.ENDED)
    return seen[name]


async def _says(runner: Runner, cluster: str, name: str, word: str) -> None:
    await until(lambda: runner.logs(cluster, name), within=_SOON, meets=lambda logs: word in logs.get(name, ""))


async def _hear(hints: AsyncIterator[str], cluster: str) -> None:
    async with asyncio.timeout(_SOON):
        async for hint in hints:
            if hint == cluster:
                return
