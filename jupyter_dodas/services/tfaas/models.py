"""The models of an endpoint, as a sequence that a notebook shows as a table."""

from collections.abc import Sequence
from typing import Any

from jupyter_dodas.errors import ModelNotFound
from jupyter_dodas.services.tfaas import showing
from jupyter_dodas.services.tfaas.client import MANAGEMENT, Client
from jupyter_dodas.services.tfaas.model import Model
from jupyter_dodas.services.tfaas.versions import Traffic, Version

__all__ = ["Models"]


class Models(Sequence[Model]):
    """The models of an endpoint as they are now; `find` returns one by its name."""

    def __init__(self, client: Client, endpoint: str) -> None:
        self._client, self._endpoint = client, endpoint
        self._told = [
            (one["model"], one.get("published"), tuple(map(Version.read, one["versions"])), Traffic.read(one.get("traffic") or {}))
            for one in client.get(f"{MANAGEMENT}/models")["models"]
        ]
        self._models = [Model(client, endpoint, name) for name, *_ in self._told]

    def find(self, name: str, version: str | None = None) -> Model:
        """Return a model by its name; in one version, if that is given.

        Raises
        ------
        ModelNotFound
            With the names that there are.
        """
        known = {model: versions for model, _, versions, _ in self._told}
        if name not in known:
            raise ModelNotFound(name, known=known)
        if version is not None and version not in (found := [one.version for one in known[name]]):
            raise ModelNotFound(name, version, found)
        return Model(self._client, self._endpoint, name, version)

    def __getitem__(self, index: Any) -> Any:
        return self._models[index]

    def __len__(self) -> int:
        return len(self._models)

    def __repr__(self) -> str:
        return showing.table(self._told)["text/plain"]

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return showing.table(self._told)
