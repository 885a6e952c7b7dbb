"""The limits that somebody has set for a namespace: an annotation of it, which its users read and cannot write."""

import time
from typing import Final

from pydantic import ValidationError

from jupyter_dodas.backends.kubernetes.api import Api
from jupyter_dodas.backends.kubernetes.objects import ALLOWANCE
from jupyter_dodas.errors import InvalidSetting
from jupyter_dodas.limits import Allowance

__all__ = ["Allowances"]

_FRESH: Final = 5.0
"""Seconds for which the last answer is good enough: a controller asks at every look."""


class Allowances:
    """What holds for a namespace."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._read, self._until = Allowance(), 0.0

    async def now(self) -> Allowance:
        """Return what holds; no limits if nobody has set any.

        Raises
        ------
        InvalidSetting
            If the annotation is damaged: what it says cannot be passed over.
        """
        now = time.monotonic()
        if now >= self._until:
            self._read, self._until = await self._look(), now + _FRESH
        return self._read

    async def _look(self) -> Allowance:
        answer = await self._api.ask("GET", f"/api/v1/namespaces/{self._api.namespace}")
        said = (answer.body.get("metadata", {}).get("annotations") or {}).get(ALLOWANCE)
        if not answer.ok or said is None:
            return Allowance()
        try:
            return Allowance.model_validate_json(said)
        except ValidationError as error:
            raise InvalidSetting(
                f"The limits of the namespace {self._api.namespace} cannot be read",
                cause=f"Its annotation {ALLOWANCE}: {error.errors(include_input=False)[0]['msg']}",
                remedy="An administrator has to mend or remove the annotation.",
            ) from error
