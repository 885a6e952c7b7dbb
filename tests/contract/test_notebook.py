"""Notebooks of a hub, without the hub: the kind, and what stands at its place when a hub was killed."""

import asyncio
import sys
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from jupyter_dodas import aio, settings
from jupyter_dodas.backends import places
from jupyter_dodas.backends.base import MANDATE
from jupyter_dodas.backends.base import TOKEN as BEARER
from jupyter_dodas.errors import InvalidOption, LaunchFailed, NotYours
from jupyter_dodas.hub.notebooks import Notebook
from jupyter_dodas.hub.story import Story
from jupyter_dodas.iam.mandate import Mandate
from jupyter_dodas.options import Options, validate
from jupyter_dodas.services.base import Service
from jupyter_dodas.services.notebook.handover import TOKEN, to_bytes
from jupyter_dodas.services.notebook.service import NotebookOptions, NotebookService
from jupyter_dodas.spec import ClusterSpec, Phase
from jupyter_dodas.testing.services import ServiceContract
from jupyter_dodas.testing.waiting import until
from tests.place import TOY, Place

pytestmark = pytest.mark.anyio

VARIABLES = {"JUPYTERHUB_SERVICE_PREFIX": "/user/ada/", "JUPYTERHUB_USER": "ada", TOKEN: "first"}


class TestNotebookService(ServiceContract):
    examples: ClassVar[Sequence[Mapping[str, Any]]] = ({}, {"cores": 2, "memory": "4 GiB"}, {"command": ["jupyter", "lab"]})

    @pytest.fixture
    def service(self) -> Service:
        return NotebookService()

    def secrets(self, service: Service, spec: ClusterSpec) -> Mapping[str, bytes]:
        return {name: to_bytes({**VARIABLES, TOKEN: uuid.uuid4().hex}) for name in service.handed}

    def all_options(self, service: Service) -> Sequence[Options]:
        # Without those of workers, which it does not have.
        return [validate(service.Options, service.kind, options) for options in self.examples]


@pytest.mark.parametrize("asked", [{"workers": 1}, {"adapt": [0, 1]}, {"groups": {"gpu": {}}}, {"command": []}])
def test_a_notebook_has_one_server_and_no_workers(asked: Mapping[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        validate(NotebookOptions, "notebook", asked)


def options(**more: Any) -> NotebookOptions:
    command = [sys.executable, str(TOY / "single_user.py")]
    return validate(NotebookOptions, "notebook", {"command": command, **more})


@pytest.fixture
def notebook(place: Place) -> Notebook:
    place.root.joinpath("home").mkdir()
    return Notebook(places.backend(settings.load()), "notebook-ada", "ada")


@asynccontextmanager
async def running(notebook: Notebook, **more: Any) -> AsyncGenerator[Mapping[str, str]]:
    try:
        yield await notebook.start(options(**more), VARIABLES, Story().see)
    finally:
        await notebook.end()


async def test_it_is_in_no_list_and_no_limit_is_for_it(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DODAS_LIMITS_CLUSTERS", "1")
    monkeypatch.setenv("DODAS_LIMITS_CORES", "1")
    async with running(notebook, cores=4):
        assert list(await aio.list()) == []
        assert (await aio.quota()).used.clusters == 0
        assert "notebook" not in aio.kinds()
        async with await aio.launch("toy", workers=1) as cluster:
            assert await cluster.phase() is Phase.READY


async def test_one_that_is_there_is_taken_over_with_its_token(notebook: Notebook, place: Place) -> None:
    async with running(notebook) as handed:
        assert handed[TOKEN] == "first"
        before = place.instances("notebook-ada")
        again = await notebook.start(options(), {**VARIABLES, TOKEN: "second"}, Story().see)
        assert again[TOKEN] == "first"
        assert place.instances("notebook-ada") == before


@pytest.mark.parametrize(("more", "changed"), [({"cores": 2}, {}), ({}, {"JUPYTERHUB_API_URL": "http://moved"})])
async def test_one_that_is_not_what_is_wanted_now_is_started_anew(
    notebook: Notebook, place: Place, more: Mapping[str, Any], changed: Mapping[str, str]
) -> None:
    async with running(notebook):
        before = place.instances("notebook-ada")
        again = await notebook.start(options(**more), {**VARIABLES, **changed, TOKEN: "second"}, Story().see)
        assert again[TOKEN] == "second"
        after = place.instances("notebook-ada")
        assert after.keys() == before.keys()
        assert after != before


async def test_nothing_starts_before_variables_were_handed_over(notebook: Notebook, place: Place) -> None:
    held, reached = asyncio.Event(), asyncio.Event()
    hand_over = notebook._hand_over

    async def later(variables: Mapping[str, str]) -> None:
        reached.set()
        await held.wait()
        await hand_over(variables)

    notebook._hand_over = later  # type: ignore[method-assign]
    starting = asyncio.create_task(notebook.start(options(), VARIABLES, Story().see))
    await reached.wait()
    backend = places.backend(settings.load())
    await backend.wake("notebook-ada")
    await until(lambda: backend.store.get("notebook-ada"), within=10, meets=lambda record: record.status.phase is Phase.STARTING)
    assert place.instances("notebook-ada") == {}
    held.set()
    await starting
    assert len(place.instances("notebook-ada")) == 1
    await notebook.end()


async def test_a_cancelled_start_is_removed(notebook: Notebook, place: Place) -> None:
    folder = place.root / "home"
    (folder / "wait").touch()
    starting = asyncio.create_task(notebook.start(options(environment={"folder": str(folder)}), VARIABLES, Story().see))
    log = place.state / "clusters" / "notebook-ada" / "logs" / "server.log"
    await until(log.exists, within=20)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await until(notebook.record, within=20, meets=lambda record: record is None)


async def test_one_that_failed_is_kept_and_cleared_away_by_the_next_start(notebook: Notebook) -> None:
    broken = validate(NotebookOptions, "notebook", {"command": [sys.executable, "-c", "raise SystemExit('no licence')"]})
    with pytest.raises(LaunchFailed, match="has ended: exit code 1") as failure:
        await notebook.start(broken, VARIABLES, Story().see)
    assert "no licence" in failure.value.cause
    record = await notebook.record()
    assert record is not None
    assert record.status.phase is Phase.FAILED
    async with running(notebook):
        record = await notebook.record()
        assert record is not None
        assert record.status.phase is Phase.READY


async def test_that_of_somebody_else_is_left_alone(notebook: Notebook) -> None:
    async with running(notebook):
        stranger = Notebook(places.backend(settings.load()), "notebook-ada", "eve")
        with pytest.raises(NotYours):
            await stranger.start(options(), VARIABLES, Story().see)
        with pytest.raises(NotYours):
            await stranger.end()


async def test_a_token_that_the_place_was_entrusted_with_is_for_everything_there(notebook: Notebook, place: Place) -> None:
    variables = await surroundings(notebook)
    assert "BEARER_TOKEN_FILE" not in variables
    await notebook.entrust({MANDATE: Mandate("http://127.0.0.1:1", "key").to_bytes(), BEARER: b"eyJ"})
    variables = await surroundings(notebook)
    file = Path(variables["BEARER_TOKEN_FILE"])
    assert (file.read_bytes(), file.is_relative_to(place.state)) == (b"eyJ", True)
    assert [path.stat().st_mode & 0o777 for path in (file, file.with_name("mandate"), file.parent)] == [0o600, 0o600, 0o700]
    assert not {name for name, value in variables.items() if "eyJ" in value or "key" in value.split()}
    await notebook.entrust({MANDATE: b"", BEARER: b""})
    assert list(file.parent.iterdir()) == []


async def surroundings(notebook: Notebook) -> Mapping[str, str]:
    """The variables that a notebook sees."""
    async with running(notebook), httpx.AsyncClient() as client:
        answer = await client.get(f"{await notebook.address(timeout=5)}/user/ada/x")
    found: dict[str, str] = answer.json()["variables"]
    return found


async def test_it_answers_at_the_address_that_is_told(notebook: Notebook, tmp_path: Path) -> None:
    async with running(notebook):
        address = await notebook.address(timeout=5)
        assert address is not None
        assert address.startswith("http://127.0.0.1:")
    assert await notebook.address(timeout=5) is None
