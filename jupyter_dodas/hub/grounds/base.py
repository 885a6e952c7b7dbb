"""What a ground owes. A new one is a module beside this, and a line in `choice`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from jupyter_dodas.aio.cluster import Follower
from jupyter_dodas.limits import Allowance, Share
from jupyter_dodas.services.notebook.service import NotebookOptions
from jupyter_dodas.settings import Settings
from jupyter_dodas.spec import Record, Step

__all__ = ["Ground", "Held", "Permanent", "See", "unseen"]

See: TypeAlias = Callable[[Sequence[Step], Sequence[str]], None]
"""Is told the steps of what is being prepared, and what delays it, in sentences."""


def unseen(_: Sequence[Step], __: Sequence[str]) -> None:
    """Tell nobody."""


class Held(Protocol):
    """A notebook, held by its name: `Notebook` itself, or one in the hands of a process that may do more, or less, than the hub."""

    name: str

    async def record(self) -> Record | None:
        """See `Notebook.record`."""

    async def start(self, options: NotebookOptions, variables: Mapping[str, str], follower: Follower) -> Mapping[str, str]:
        """See `Notebook.start`."""

    async def handed(self) -> Mapping[str, str] | None:
        """See `Notebook.handed`."""

    async def entrust(self, secrets: Mapping[str, bytes]) -> None:
        """See `Notebook.entrust`."""

    async def address(self, *, timeout: float) -> str | None:
        """See `Notebook.address`."""

    async def beside(self) -> Share:
        """See `Notebook.beside`."""

    async def end(self, *, timeout: float = 60) -> None:
        """See `Notebook.end`."""

    async def dismiss(self) -> None:
        """See `Notebook.dismiss`."""


class Ground(Protocol):
    """Where the notebooks and clusters of one user run, and what there is theirs alone."""

    @property
    def settings(self) -> Settings:
        """The settings of the user's place, which the clusters launched in a notebook share with it."""

    @property
    def unprotected(self) -> str:
        """What it does not keep from other users, as a sentence for those who sign in; empty if it keeps them apart."""

    @property
    def phases(self) -> Sequence[str]:
        """What is waited for before a notebook is started, by name; empty if that is nothing to speak of."""

    @property
    def is_away(self) -> bool:
        """Whether what runs there reaches the hub at its public address only."""

    async def prepare(self, allowance: Allowance, see: See = unseen) -> None:
        """See that it is there, with these limits, before a notebook is started. Repeatable.

        Parameters
        ----------
        allowance
            What the user may hold. Whether anything enforces it is for the ground to say (``enforced``), where it writes it.

        Raises
        ------
        DodasError
            If it cannot be had, with what an administrator has to do.
        """

    async def renew(self, allowance: Allowance) -> None:
        """See that other limits hold, while a notebook runs. What is not there is not made."""

    async def release(self) -> None:
        """Let go of what was prepared: the notebook has ended. Raises nothing."""

    async def abandon(self) -> None:
        """Take back what was prepared: the start is given up, in whatever phase that is. Raises nothing."""

    def surroundings(self) -> Mapping[str, str]:
        """Return the variables that a notebook has from it."""

    def environment(self) -> Mapping[str, Any]:
        """Return what it says of a notebook's `environment` option."""

    def notebook(self, server: str) -> Held:
        """Return one of the user's notebooks, by the name of its server."""


class Permanent:
    """What is the same for all grounds that are there whether or not a notebook is."""

    phases: Final[Sequence[str]] = ()
    is_away: Final = False

    async def prepare(self, allowance: Allowance, see: See = unseen) -> None:
        """See `Ground.prepare`."""
        raise NotImplementedError

    async def renew(self, allowance: Allowance) -> None:
        """See `Ground.renew`."""
        await self.prepare(allowance)

    async def release(self) -> None:
        """Do nothing."""

    async def abandon(self) -> None:
        """Do nothing."""
