"""What stands already, as an infrastructure: what its provisioners share. Nothing of it is ever made or deleted."""

from collections.abc import Sequence

from jupyter_dodas.errors import ProvisionFailed
from jupyter_dodas.provision.base import Order

__all__ = ["Standing"]


class Standing:
    """Names that were given to what stands.

    An identifier is the name that was asked for. It is there until it is deleted, also for one of these that was not asked: nothing
    is kept of it, and so nothing can be lost.
    """

    def __init__(self) -> None:
        self._given: set[str] = set()
        self._let_go: set[str] = set()

    async def create(self, order: Order) -> str:
        """See `Provisioner.create`."""
        self._given.add(order.name)
        self._let_go.discard(order.name)
        return order.name

    async def find(self, name: str) -> Sequence[str]:
        """See `Provisioner.find`."""
        return [name] if name in self._given else []

    def is_let_go(self, identifier: str) -> bool:
        """Whether it was deleted."""
        return identifier in self._let_go

    def _see_held(self, identifier: str) -> None:
        if self.is_let_go(identifier):
            raise ProvisionFailed("There is no such infrastructure", cause="It was let go.")

    async def log(self, identifier: str) -> str:
        """See `Provisioner.log`."""
        return ""

    async def delete(self, identifier: str) -> None:
        """See `Provisioner.delete`. What stands goes on standing."""
        self._given.discard(identifier)
        self._let_go.add(identifier)
