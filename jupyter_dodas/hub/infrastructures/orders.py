"""Orders for provisioners, out of records."""

from jupyter_dodas.hub.infrastructures.configuration import Configuration
from jupyter_dodas.hub.infrastructures.records import Record
from jupyter_dodas.hub.infrastructures.store import Store
from jupyter_dodas.hub.infrastructures.vault import Vault
from jupyter_dodas.provision.base import Order
from jupyter_dodas.provision.template import Template

__all__ = ["Orders", "named"]


def named(store: str, uid: str) -> str:
    """Return what provisioners call an infrastructure of a store."""
    return f"dodas-{store}-{uid}"


class Orders:
    """Makes orders.

    Parameters
    ----------
    store, vault, configuration
        Where everything is that an order says.
    """

    def __init__(self, store: Store, vault: Vault, configuration: Configuration) -> None:
        self._store, self._vault, self._configuration = store, vault, configuration
        self._called = ""

    async def name(self, record: Record) -> str:
        """Return what the provisioner calls it."""
        self._called = self._called or await self._store.name()
        return named(self._called, record.uid)

    async def of(self, record: Record) -> Order:
        """Return what is to be made for a record as it is now."""
        template = Template(record.template, await self._store.text(record.digest))
        secrets = self._vault.open(await self._store.secrets(record.uid))
        scalable = template.scalable
        workers = {scalable: record.workers} if scalable is not None and record.workers is not None else {}
        return Order(
            name=await self.name(record),
            template=template,
            inputs={**record.inputs, **workers},
            recipes=self._configuration.recipes,
            secrets={name: value for name, value in secrets.items() if name in template.secrets},
        )
