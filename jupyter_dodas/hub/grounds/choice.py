"""Which ground notebooks stand on. A new one is a module beside this, and a line in `_KINDS`."""

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from jupyter_dodas import settings
from jupyter_dodas.backends.local.nursery import Nursery
from jupyter_dodas.hub.accounts.machine import account_name
from jupyter_dodas.hub.audit import Log
from jupyter_dodas.hub.grounds.accounts import Accounts, OwnAccount, Wanted
from jupyter_dodas.hub.grounds.base import Ground
from jupyter_dodas.hub.grounds.manifests import Estate
from jupyter_dodas.hub.grounds.namespaces import OwnNamespace
from jupyter_dodas.hub.grounds.shared import SharedAccount
from jupyter_dodas.hub.notebooks import MODULES, safe_name
from jupyter_dodas.limits import Share
from jupyter_dodas.settings import Settings

__all__ = ["Kind", "Situation", "kind"]

_NURSERY: Final = "dodas_nursery"
"""Where the settings of a hub, which all its spawners share, have what forks the keepers of their places."""


@dataclass(frozen=True)
class Situation:
    """What an administrator has set, and the hub that it is for.

    Parameters
    ----------
    hub
        Settings of the hub, which all its spawners share.
    state
        The folder with a place for each user.
    account, processes, backend, namespace
        See `DodasSpawner`.
    estate
        Returns what a namespace is to have, by the settings of the hub; None if an administrator makes the namespaces.
    addresses
        Where pods reach a hub outside their cluster.
    """

    hub: MutableMapping[str, Any]
    log: Log
    backend: str
    state: Path
    account: str
    processes: int
    namespace: str
    estate: Callable[[Settings], Estate | None]
    addresses: Sequence[str] = ()

    def settings(self, user: str, **more: Any) -> Settings:
        """Return the settings of the place of a user."""
        configured, own = settings.load(), safe_name(user)
        runtime = None if configured.runtime is None else configured.runtime / own
        here = {"backend": self.backend, "state": self.state / own, "runtime": runtime}
        return configured.model_copy(update=here | more)


class Kind(Protocol):
    """One sort of ground: when it is had, and what is to be known of it before anybody has signed in."""

    def fits(self, there: Situation) -> bool:
        """Return whether it is the one."""

    def unprotected(self) -> str:
        """See `Ground.unprotected`."""

    def files_end(self, there: Situation) -> bool | None:
        """Return whether files of people end with their notebook; None if nobody here knows."""

    def is_alone(self, there: Situation) -> bool:
        """Return whether the place is of one user only."""

    def ground(self, there: Situation, user: str, notebooks: Callable[[], Share]) -> Ground:
        """Return that of a user.

        Parameters
        ----------
        notebooks
            Returns what all notebooks of the user may take together.
        """


def kind(there: Situation) -> Kind:
    """Return the first that fits."""
    return next(one for one in _KINDS if one.fits(there))


class _Namespaces:
    """See `OwnNamespace`."""

    def fits(self, there: Situation) -> bool:
        return there.backend == "kubernetes"

    def unprotected(self) -> str:
        return OwnNamespace.unprotected

    def files_end(self, there: Situation) -> bool | None:
        estate = there.estate(settings.load())
        return None if estate is None else not estate.home_size

    def is_alone(self, there: Situation) -> bool:
        return "{username}" in there.namespace

    def ground(self, there: Situation, user: str, notebooks: Callable[[], Share]) -> Ground:
        place = there.settings(user, kubernetes_namespace=there.namespace.format(username=safe_name(user)))
        return OwnNamespace(user, place, there.estate(settings.load()), there.addresses)


class _Machine:
    """What the two on one machine have in common."""

    def files_end(self, there: Situation) -> bool | None:
        return False

    def is_alone(self, there: Situation) -> bool:
        return True


class _Accounts(_Machine):
    """See `OwnAccount`."""

    def fits(self, there: Situation) -> bool:
        return bool(there.account) and not Accounts.of(there.hub, there.state, there.log).why_not

    def unprotected(self) -> str:
        return OwnAccount.unprotected

    def ground(self, there: Situation, user: str, notebooks: Callable[[], Share]) -> Ground:
        wanted = Wanted(account_name(there.account, safe_name(user)), notebooks, there.processes)
        return OwnAccount(user, there.settings(user), wanted, Accounts.of(there.hub, there.state, there.log))


class _Shared(_Machine):
    """See `SharedAccount`."""

    def fits(self, there: Situation) -> bool:
        return True

    def unprotected(self) -> str:
        return SharedAccount.unprotected

    def ground(self, there: Situation, user: str, notebooks: Callable[[], Share]) -> Ground:
        return SharedAccount(user, there.settings(user), there.hub.setdefault(_NURSERY, Nursery(MODULES)))


_KINDS: Final[Sequence[Kind]] = (_Namespaces(), _Accounts(), _Shared())
