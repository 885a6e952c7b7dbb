"""One account of this machine for everybody: for trying out, and for people who trust each other."""

from collections.abc import Mapping
from typing import Any

from jupyter_dodas.backends.local import allowance as limits
from jupyter_dodas.backends.local.backend import LocalBackend
from jupyter_dodas.backends.local.nursery import Nursery
from jupyter_dodas.hub.grounds.base import Permanent, See, unseen
from jupyter_dodas.hub.notebooks import Notebook, notebook_name
from jupyter_dodas.limits import Allowance
from jupyter_dodas.settings import Settings

__all__ = ["SharedAccount"]


class SharedAccount(Permanent):
    """See `Ground`. Everybody has a folder of their own, which nobody keeps the others out of.

    Parameters
    ----------
    user
        The name in the hub.
    configured
        The settings of the user's place.
    nursery
        Who forks its keeper.
    """

    unprotected = "Everybody works as one account of this machine, and can read the files and tokens of everybody else."

    def __init__(self, user: str, configured: Settings, nursery: Nursery) -> None:
        self._user, self.settings, self._nursery = user, configured, nursery
        self._home = configured.state / "home"

    async def prepare(self, allowance: Allowance, see: See = unseen) -> None:
        """See `Ground.prepare`. Limits are a guard rail here: everybody is the account that writes them."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        limits.write(self.settings.state, allowance)

    def surroundings(self) -> Mapping[str, str]:
        """See `Ground.surroundings`."""
        # With an account for each user, this is what would follow from it.
        who = {"USER": self._user, "LOGNAME": self._user, "HOME": str(self._home), "SHELL": "/bin/bash"}
        return {**who, **self.settings.variables(), "DODAS_RUNTIME": str(self.settings.runtime_folder())}

    def environment(self) -> Mapping[str, Any]:
        """See `Ground.environment`."""
        return {"folder": str(self._home)}

    def notebook(self, server: str) -> Notebook:
        """See `Ground.notebook`."""
        return Notebook(LocalBackend(self.settings, self._nursery), notebook_name(self._user, server), self._user)
