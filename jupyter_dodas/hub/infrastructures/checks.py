"""What is asked for, checked against what there is: templates, provisioners, and clouds that somebody has credentials for."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jupyter_dodas.errors import InvalidOption, InvalidSetting, NotSupported, ProvisionFailed
from jupyter_dodas.hub.infrastructures.configuration import Configuration
from jupyter_dodas.hub.infrastructures.credentials import Credentials, group, missing, user
from jupyter_dodas.hub.infrastructures.offers import Offers
from jupyter_dodas.hub.infrastructures.records import Record
from jupyter_dodas.hub.infrastructures.store import Store
from jupyter_dodas.provision.template import Template
from jupyter_dodas.provision.views import Wanted

__all__ = ["Caller", "Checked", "Checks"]


@dataclass(frozen=True)
class Caller:
    """Who asks, and for whom."""

    owner: str
    groups: Sequence[str] = ()

    @property
    def purses(self) -> Sequence[str]:
        """Whose credentials they may use, their own first."""
        return (user(self.owner), *map(group, self.groups))


@dataclass(frozen=True)
class Checked:
    """What is asked for, and can be had."""

    template: Template
    inputs: dict[str, Any]
    workers: int | None
    provisioner: str
    cloud_owner: str
    cloud: str

    def is_of(self, there: Record) -> bool:
        """Tell whether it is what is there. The size of that may have been changed meanwhile."""
        return (there.digest, dict(there.inputs), there.provisioner, there.cloud_owner, there.cloud) == (
            *(self.template.digest, self.inputs, self.provisioner),
            *(self.cloud_owner, self.cloud),
        )


class Checks:
    """Checks what people ask for.

    Parameters
    ----------
    store, configuration, credentials, offers
        Where everything is that there is.
    """

    def __init__(self, store: Store, configuration: Configuration, credentials: Credentials, offers: Offers) -> None:
        self._store, self._configuration, self._credentials, self._offers = store, configuration, credentials, offers

    async def check(self, caller: Caller, wanted: Wanted) -> Checked:
        """Return what is asked for, with everything that was left out.

        Raises
        ------
        InvalidOption, TemplateInvalid, NotAllowed
        """
        try:
            maker = self._configuration.maker(wanted.provisioner)
        except InvalidSetting as error:
            raise InvalidOption(error.message, option="provisioner", remedy=error.remedy) from None
        # One of the user's own may take a while to read.
        template = await asyncio.to_thread(self._offers.chosen, wanted)
        inputs = dict(template.check(wanted.inputs))
        workers = inputs.pop(template.scalable, None) if template.scalable is not None else None
        cloud_owner, cloud = await self._cloud(caller, wanted.cloud)
        return Checked(template, inputs, None if workers is None else int(workers), maker.name, cloud_owner, cloud)

    async def _cloud(self, caller: Caller, name: str) -> tuple[str, str]:
        for owner, view in await self._credentials.list(caller.purses):
            if name in ("", view.name):
                return owner, view.name
        if name:
            raise missing(name)
        return "", ""

    async def can_have(self, record: Record, workers: int) -> None:
        """See that one can have as many workers.

        Raises
        ------
        ProvisionFailed, NotSupported, InvalidOption
        """
        if record.wanted == "absent" or record.failed:
            raise ProvisionFailed(
                f"{record.name!r} cannot be scaled", cause="It has failed, or is being deleted.", remedy="Create it again."
            )
        template = Template(record.template, await self._store.text(record.digest))
        if template.scalable is None:
            raise NotSupported(
                f"{record.name!r} cannot be scaled",
                cause=f"The template {record.template!r} has no number of workers.",
                remedy="Create another one, of a template that has.",
            )
        template.check({**record.chosen, template.scalable: workers})
