"""Provisioners of the Infrastructure Manager as tests use them, and what they order."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from jupyter_dodas.errors import Busy
from jupyter_dodas.provision.base import Access, Order, State, Status
from jupyter_dodas.provision.base import Provisioner as AnyProvisioner
from jupyter_dodas.provision.clouds import Cloud, DummyCloud
from jupyter_dodas.provision.im.provisioner import InfrastructureManager as Provisioner
from jupyter_dodas.provision.template import load
from jupyter_dodas.testing.waiting import until
from tests.provision.im import ACCOUNT

__all__ = ["SECRET", "by_account", "gone", "order", "reached"]

SECRET: Final = "very-secret-word"


def by_account(url: str, folder: Path, clouds: Sequence[Cloud] = (DummyCloud(name="pretended"),), **options: Any) -> Provisioner:
    """One that uses the account of tests."""
    account = folder / "account"
    account.write_text("\n".join(ACCOUNT.values()))
    account.chmod(0o600)
    return Provisioner.of({"url": url, "account": account, **options}, Access(clouds=clouds))


def order(name: str, recipes: str, *, workers: int = 1, template: str = "kubernetes", **inputs: Any) -> Order:
    """A front end and workers."""
    found = load(template)
    checked = found.check({"workers": workers, **inputs} if found.scalable else inputs)
    return Order(name, found, checked, recipes, dict.fromkeys(found.secrets, SECRET))


async def reached(provisioner: AnyProvisioner, identifier: str, *states: State, within: float = 120) -> Status:
    """Wait until an infrastructure has one of these states."""
    return await until(lambda: provisioner.status(identifier), within=within, meets=lambda found: found.state in states)


async def gone(provisioner: AnyProvisioner, identifier: str, within: float = 120) -> None:
    """Delete an infrastructure, as often as it takes."""

    async def look() -> State:
        with suppress(Busy):  # it has just begun to make machines
            await provisioner.delete(identifier)
        return (await provisioner.status(identifier)).state

    await until(look, within=within, meets=lambda state: state is State.GONE)
