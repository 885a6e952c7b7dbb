"""A model from a cell to an endpoint: exported, uploaded, converted and verified there, staged. Each step is told."""

from collections.abc import Mapping
from typing import Any, Final

from jupyter_dodas.services.tfaas import exporting, showing
from jupyter_dodas.services.tfaas.client import Client
from jupyter_dodas.services.tfaas.model import Model
from jupyter_dodas.services.tfaas.versions import Version

__all__ = ["deploy"]

_STEPS: Final = ("Exported", "Uploaded", "Unpacked", "Loaded", "Converted", "Compared", "Measured")
"""The first here, the others by the endpoint."""


def deploy(client: Client, endpoint: str, name: str, model: Any, examples: Any, known: Mapping[str, Any]) -> Model:
    """See `jupyter_dodas.services.tfaas.face.TfaasCluster.deploy`."""
    about = exporting.known(examples, **known)
    with showing.task(name, f"model for {endpoint}", _STEPS, f"{name} is staged at {endpoint}") as told:
        with exporting.packed(model, about, examples) as archive:
            told("Exported", None)
            made = client.upload(name, exporting.ARCHIVE, exporting.Sent(archive, lambda: told("Uploaded", None)), told)
        version = Version.read(made)
    return Model(client, endpoint, name, version)
