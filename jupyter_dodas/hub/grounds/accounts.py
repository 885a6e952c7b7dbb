"""An account of this machine for each user: where the hub runs as root."""

import os
import stat
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from jupyter_dodas.backends.local import allowance as written
from jupyter_dodas.backends.local.layout import explain
from jupyter_dodas.errors import NotYours
from jupyter_dodas.hub.accounts import cgroups, machine
from jupyter_dodas.hub.accounts.machine import Account
from jupyter_dodas.hub.accounts.remote import Agents, RemoteNotebook, User
from jupyter_dodas.hub.audit import Log
from jupyter_dodas.hub.grounds.base import Permanent, See, unseen
from jupyter_dodas.hub.notebooks import notebook_name
from jupyter_dodas.limits import Allowance, Share
from jupyter_dodas.settings import Limits, Settings

__all__ = ["Accounts", "OwnAccount", "Wanted"]

_KEY: Final = "dodas_accounts"

_RUNTIME: Final = Path("/run/jupyter-dodas")

_BESIDE: Final = Share(cores=1, memory=2 * 2**30)
"""What a user may take beyond notebooks and workers: for schedulers, the controller, and what prepares launches."""

_PATH: Final = "/usr/local/bin:/usr/bin:/bin"

_PASSABLE, _OTHERS_WRITE = 0o011, 0o022


class Accounts:
    """What a hub has for the accounts of all its users.

    Parameters
    ----------
    state
        The folder with the places of all users.
    log
        Told once what cannot be had, and why.
    """

    def __init__(self, state: Path, log: Log) -> None:
        self.log = log
        self.why_not = machine.why_not(state)
        self.agents = Agents()
        self._fences: dict[Path, cgroups.Fence] = {}
        if self.why_not:
            said = log.warning if os.geteuid() == 0 else log.info  # which is as it was meant to be
            said("Everybody works as the account of the hub: %s.", self.why_not)
            return
        proc = Path("/proc/self")
        self.sites = cgroups.sites((proc / "mountinfo").read_text(), (proc / "cgroup").read_text())
        cgroups.sweep(self.sites)
        if missing := sorted({"memory", "cpu", "pids"}.difference(self.sites)):
            log.warning("Nobody enforces what users take of %s: this hub can make no control groups for it.", ", ".join(missing))

    def fence(self, place: Path) -> cgroups.Fence:
        """Return the control groups of a place, the same for all notebooks there."""
        return self._fences.setdefault(place, cgroups.Fence(self.sites, place))

    @classmethod
    def of(cls, hub: MutableMapping[str, Any], state: Path, log: Log) -> "Accounts":
        """Return those of a hub, made the first time.

        Parameters
        ----------
        hub
            Its settings, which all its spawners share.
        """
        if _KEY not in hub:
            hub[_KEY] = cls(state, log)
        made: Accounts = hub[_KEY]
        return made


@dataclass(frozen=True)
class Wanted:
    """What is asked for a user.

    Parameters
    ----------
    name
        Of the account.
    notebooks
        Returns what all notebooks of the user together are to have.
    processes
        The most processes and threads.
    """

    name: str
    notebooks: Callable[[], Share]
    processes: int


class OwnAccount(Permanent):
    """See `Ground`. Whatever is done at the place of the user is done by a process of theirs, see `hub.accounts`.

    Parameters
    ----------
    user
        The name in the hub.
    configured
        The settings of the user's place. Its `runtime` may be left open.
    wanted
        What the account is to be.
    """

    unprotected = ""

    def __init__(self, user: str, configured: Settings, wanted: Wanted, accounts: Accounts) -> None:
        self._user, self._wanted, self._accounts = user, wanted, accounts
        self._fence = accounts.fence(configured.state)
        # Not where root has its own: users must get there. Short, since a socket's path has at most 107 bytes.
        runtime = configured.runtime or _RUNTIME / configured.runtime_folder().name.rpartition("-")[2]
        self.settings = configured.model_copy(update={"runtime": runtime})

    async def prepare(self, allowance: Allowance, see: See = unseen) -> None:
        """See `Ground.prepare`."""
        account = await machine.ensure(self._wanted.name, self._home, self._user)
        self.__dict__.pop("_account", None)
        for folder in (self.settings.state, self.settings.runtime_folder()):
            _give(folder, account)
        bound = {"memory", "cpu"} <= self._accounts.sites.keys() and self._bound(allowance.limits)
        # In a folder of root's, beside the user's: links that the user plants are not followed.
        written.write(self.settings.state, allowance.model_copy(update={"enforced": bound}))

    def _bound(self, limits: Limits) -> bool:
        """Have the kernel see to what everything of the user takes together; whether it does."""
        others = self._wanted.notebooks() + _BESIDE
        memory = None if limits.memory is None else int(limits.memory) + others.memory
        cores = None if limits.cores is None else limits.cores + others.cores
        try:
            self._fence.bound(cgroups.Bounds(memory, cores, self._wanted.processes))
        except OSError as error:
            self._accounts.log.warning("The control groups of %s do not take their limits: %s", self._user, error)
            return False
        return True

    @cached_property
    def _account(self) -> Account | None:
        return machine.find(self._wanted.name)

    @property
    def _home(self) -> Path:
        return self._account.home if self._account is not None else self.settings.state / "home"

    def surroundings(self) -> Mapping[str, str]:
        """See `Ground.surroundings`."""
        shell = self._account.shell if self._account is not None else "/bin/bash"
        who = {"USER": self._wanted.name, "LOGNAME": self._wanted.name, "HOME": str(self._home), "SHELL": shell}
        return {**who, **self.settings.variables()}

    def environment(self) -> Mapping[str, Any]:
        """See `Ground.environment`."""
        return {"folder": str(self._home)}

    def notebook(self, server: str) -> RemoteNotebook:
        """See `Ground.notebook`."""
        return RemoteNotebook(
            self._accounts.agents, notebook_name(self._user, server), self._user, lambda: self.settings, self._of_agent
        )

    def _of_agent(self) -> User | None:
        """Return what the agent of this user begins with, and nothing of what the hub has; None before there is an account."""
        if (account := self._account) is None:
            return None
        begins = {"PATH": f"{Path(sys.executable).parent}:{_PATH}", "LANG": os.environ.get("LANG", "C.UTF-8")}
        return User(account, {**begins, **self.surroundings()}, self._fence)


def _give(folder: Path, account: Account) -> None:
    """See that a folder is there, and is one account's alone.

    Raises
    ------
    NotYours
        If it is another's, or others could put something else in its place.
    StateNotWritable, StoreFull
    """
    try:
        folder.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        parent = folder.parent.resolve()  # an administrator may have led it elsewhere
        folder = parent / folder.name
        above = parent.lstat()
        if not stat.S_ISDIR(above.st_mode) or above.st_uid != 0 or above.st_mode & _OTHERS_WRITE:
            raise NotYours(
                f"{parent} cannot hold the folders of users",
                cause="Others than root can write there.",
                remedy="An administrator can make it root's alone, or choose another one: c.DodasSpawner.state, DODAS_RUNTIME.",
            )
        parent.chmod(stat.S_IMODE(above.st_mode) | _PASSABLE)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == 0 and not any(folder.iterdir()):
            os.chown(folder, account.uid, account.gid, follow_symlinks=False)
            found = folder.lstat()
    except OSError as error:
        raise explain(folder, error) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid:
        raise NotYours(
            f"{folder} does not belong to {account.name}",
            cause=f"Its owner has uid {found.st_uid}, the account has {account.uid}.",
            remedy=f"An administrator who knows whose files these are can say `chown -R {account.name}: {folder}`.",
        )
