"""What the Infrastructure Manager does to who relies on it: it is killed, forgets, hangs, talks nonsense, and takes no token."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from jupyter_dodas.errors import CredentialsRefused, DodasError, ProvisionerUnreachable
from jupyter_dodas.provision.base import Access, State
from jupyter_dodas.provision.clouds import DummyCloud
from jupyter_dodas.provision.im import provisioner as module
from jupyter_dodas.provision.im.provisioner import InfrastructureManager as Provisioner
from jupyter_dodas.testing.waiting import until
from tests.hubs import DevelopmentIam, free_ports
from tests.provision.im import InfrastructureManager
from tests.provision.orders import by_account, gone, order, reached
from tests.provision.proxy import Spoils, spoiling
from tests.provision.tokens import REDIRECT, sign_in

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory, kubeconfig: Path) -> Iterator[InfrastructureManager]:
    """One that tests kill, and start again."""
    with InfrastructureManager(tmp_path_factory.mktemp("mortal"), kubeconfig=kubeconfig) as found:
        yield found
        assert found.left() == set()


# -- it is killed ----------------------------------------------------------------------------------------------------------


async def killed(mortal: InfrastructureManager, made: Provisioner, identifier: str) -> None:
    """Kill it, see that this is told, and start it again."""
    await asyncio.to_thread(mortal.kill)
    with pytest.raises(ProvisionerUnreachable):
        await made.status(identifier)
    await asyncio.to_thread(mortal.start)


async def test_killed_in_every_phase_it_loses_nothing(
    mortal: InfrastructureManager, recipes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, name = by_account(mortal.url, tmp_path), "dodas-phases"
    wanted = order(name, recipes, workers=2)

    # While it is asked: nobody knows whether it has heard.
    asking = asyncio.create_task(made.create(wanted))
    await asyncio.sleep(0)
    await asyncio.to_thread(mortal.kill)
    with suppress(ProvisionerUnreachable):
        await asking
    await asyncio.to_thread(mortal.start)
    mortal.control(hang=[name])
    identifier = await made.create(wanted)
    assert list(await by_account(mortal.url, tmp_path).find(name)) == [identifier]

    # While it configures: what it has forgotten is begun again.
    await reached(made, identifier, State.CONFIGURING)
    await killed(mortal, made, identifier)
    assert (await made.status(identifier)).state is State.CONFIGURING
    mortal.control(hang=[])
    # It may have been killed while it made machines, and know of no others.
    await reached(made, identifier, State.READY, State.FAILED)
    await made.scale(identifier, wanted)
    assert len((await reached(made, identifier, State.READY, State.FAILED)).machines) == 3

    # Ready, and while it is made larger.
    await killed(mortal, made, identifier)
    assert (await made.status(identifier)).state is State.READY
    mortal.control(hang=[name])
    await made.scale(identifier, order(name, recipes, workers=3))
    await killed(mortal, made, identifier)
    mortal.control(hang=[])
    found = await reached(made, identifier, State.READY, State.FAILED)
    assert (found.state, len(found.machines)) == (State.READY, 4)

    # While it is deleted.
    await made.delete(identifier)
    await killed(mortal, made, identifier)
    await gone(made, identifier)
    monkeypatch.setattr(module, "_HOLLOW", 0)
    await until(made.names, within=60, meets=lambda names: not names)
    await until(mortal.left, within=60, meets=lambda left: not left)


async def test_killed_between_two_machines_it_makes_the_others_when_asked(
    mortal: InfrastructureManager, recipes: str, tmp_path: Path
) -> None:
    made, wanted = by_account(mortal.url, tmp_path), order("dodas-halves", recipes, workers=2)
    mortal.control(between=2)
    try:
        identifier = await made.create(wanted)

        async def two_of_three() -> bool:
            first = (await made.status(identifier)).machines
            await asyncio.sleep(0.2)
            return len(first) == len((await made.status(identifier)).machines) == 2

        await until(two_of_three, within=60)
        await killed(mortal, made, identifier)
    finally:
        mortal.control(between=0)
    assert len((await reached(made, identifier, State.READY)).machines) == 2
    await made.scale(identifier, wanted)
    assert len((await reached(made, identifier, State.READY)).machines) == 3
    await gone(made, identifier)


async def test_a_recipe_that_cannot_be_read_now_is_no_fault_of_the_template(
    im: InfrastructureManager, recipes: str, tmp_path: Path
) -> None:
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    for where in (f"{recipes}/elsewhere", nobody):
        with pytest.raises(ProvisionerUnreachable, match="cannot read a recipe") as told:
            await by_account(im.url, tmp_path).create(order("dodas-unread", where))
        assert f"{where}/" in told.value.cause


async def test_what_it_has_forgotten_is_gone(mortal: InfrastructureManager, recipes: str, tmp_path: Path) -> None:
    made = by_account(mortal.url, tmp_path)
    identifier = await made.create(order("dodas-forgotten", recipes))
    await reached(made, identifier, State.READY)
    await asyncio.to_thread(mortal.kill)
    mortal.forget()
    await asyncio.to_thread(mortal.start)
    assert (await made.status(identifier)).state is State.GONE
    assert list(await made.find("dodas-forgotten")) == []
    await made.delete(identifier)
    again = await made.create(order("dodas-forgotten", recipes))
    await gone(made, again)


# -- it answers, but how ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [mode for mode in Spoils if mode not in (Spoils.NOTHING, Spoils.LOST)])
async def test_no_answer_is_taken_for_one(im: InfrastructureManager, recipes: str, tmp_path: Path, mode: Spoils) -> None:
    with spoiling(im.url) as proxy:
        made = by_account(proxy.url, tmp_path, patience=5 if mode not in (Spoils.HANG, Spoils.DRIP) else 1)
        wanted = order("dodas-spoilt", recipes)
        identifier = "44559116-e649-11f1-9e40-02fc00000001"
        proxy.mode = mode
        began = time.monotonic()
        for what in (
            lambda: made.plan(wanted),
            lambda: made.create(wanted),
            lambda: made.find("dodas-spoilt"),
            lambda: made.status(identifier),
            lambda: made.scale(identifier, wanted),
            lambda: made.outputs(identifier),
            lambda: made.log(identifier),
        ):
            with pytest.raises(ProvisionerUnreachable) as told:
                await what()
            assert told.value.cause
            assert "Traceback" not in str(told.value)
        assert time.monotonic() < began + 60
        if mode not in (Spoils.GARBAGE, Spoils.SHAPE):  # of that answer only the status counts
            with pytest.raises(ProvisionerUnreachable):
                await made.delete(identifier)
    assert im.left() == set()


async def test_an_answer_that_is_lost_makes_no_second_one(im: InfrastructureManager, recipes: str, tmp_path: Path) -> None:
    with spoiling(im.url) as proxy:
        made, wanted = by_account(proxy.url, tmp_path), order("dodas-lost", recipes)
        proxy.mode = Spoils.LOST
        with pytest.raises(ProvisionerUnreachable):
            await made.create(wanted)
        proxy.mode = Spoils.NOTHING
        identifier = await made.create(wanted)
        assert im.known() == {identifier}
        await gone(made, identifier)
    assert im.left() == set()


async def test_thirty_deleted_at_once_leave_nothing(im: InfrastructureManager, recipes: str, tmp_path: Path) -> None:
    made = by_account(im.url, tmp_path)
    identifiers = await asyncio.gather(*(made.create(order(f"dodas-crowd-{number}", recipes)) for number in range(30)))
    await asyncio.gather(*(gone(made, identifier, within=300) for identifier in identifiers))

    async def left() -> set[str]:
        # Some come back. Nobody is shown them, and who looks has them deleted again, as the service does from time to time.
        assert await made.names() == {}
        return await asyncio.to_thread(im.listed)

    await until(left, within=120, meets=lambda found: not found)
    assert im.left() == set()


# -- who asks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token", ["a;type = EC2", "a\nb", "a\\nid = x", 'a"b', "a'b", "file(/etc/passwd)", " file (/x)", "tökenöf", "a\rb"]
)
async def test_nothing_slips_into_the_line_of_credentials(im: InfrastructureManager, recipes: str, token: str) -> None:
    async def given() -> str:
        return token

    made = Provisioner.of({"url": im.url}, Access(token=given))
    with pytest.raises(CredentialsRefused) as told:
        await made.create(order("dodas-hostile", recipes))
    assert token not in str(told.value)
    assert token not in im.said()


async def test_tokens_of_an_identity_provider_that_run_out_on_the_way(kubeconfig: Path, recipes: str, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    (tmp_path / "iam").mkdir()
    iam = DevelopmentIam(tmp_path / "iam", port, [REDIRECT], lifetimes={"access": 5})
    given: list[str] = []

    async def alice() -> str:
        """Give what was there, which may have run out: only who asks again gets a new one."""
        if asked[0] or not given:
            given.append(await asyncio.to_thread(sign_in, iam, "alice"))
        asked[0] = not asked[0]
        return given[-1]

    async def bob() -> str:
        return await asyncio.to_thread(sign_in, iam, "bob")

    asked = [False]
    with iam.program, InfrastructureManager(tmp_path / "im", kubeconfig=kubeconfig, issuers=[iam.issuer]) as im:
        cloud = DummyCloud(name="pretended")
        made = Provisioner.of({"url": im.url}, Access(token=alice, clouds=[cloud]))
        other = Provisioner.of({"url": im.url}, Access(token=bob, clouds=[cloud]))
        identifier = await made.create(order("dodas-token", recipes))
        await reached(made, identifier, State.READY)
        until_it_ran_out = time.monotonic() + 7
        await until(time.monotonic, within=20, meets=lambda now: now > until_it_ran_out)
        asked[0] = False
        before = len(given)
        assert (await made.status(identifier)).state is State.READY
        assert len(given) > before, "it was asked for a fresh one"
        # What is alice's is nobody else's.
        assert list(await other.find("dodas-token")) == []
        with pytest.raises(DodasError):
            await other.delete(identifier)
        # A provider that does not answer is no reason to sign in again.
        iam.program.stop()
        with pytest.raises(ProvisionerUnreachable, match="does not answer"):
            await Provisioner.of({"url": im.url}, Access(token=_constant(given[-1]))).find("x")
        iam.start()
        await gone(made, identifier)
        assert im.left() == set()
        iam.change("alice", suspended=True)
        with pytest.raises(CredentialsRefused):
            await Provisioner.of({"url": im.url}, Access(token=_constant("no.token.atall"))).find("x")
        assert not [token for token in given if token in f"{made!r}{vars(made)!r}"]
        iam.program.stop()


def _constant(token: str):  # type: ignore[no-untyped-def]
    async def given() -> str:
        return token

    return given
