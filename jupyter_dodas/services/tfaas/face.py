"""What a user holds of a TFaaS endpoint: all that any cluster can, and models."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jupyter_dodas import aio, blocking
from jupyter_dodas.errors import BadInput
from jupyter_dodas.options import Options

if TYPE_CHECKING:
    from jupyter_dodas.services.tfaas.client import Client, Reach
    from jupyter_dodas.services.tfaas.model import AsyncModel, Model
    from jupyter_dodas.services.tfaas.models import Models

__all__ = ["TfaasCluster"]

_ADDRESS: Final = "page"
_TOKEN: Final = "page.token"  # noqa: S105 - the name of a file
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class TfaasCluster(aio.Cluster):
    """A TFaaS endpoint. Its models are deployed and asked through it; see `model` for what can be done with one."""

    _kept: "Client | None" = None

    @classmethod
    def warm(cls, asked: Options, here: str | None) -> None:  # noqa: ARG003 - it needs the same for all of them
        """Import what `deploy` and `predict` need, while the endpoint starts."""
        import_module("jupyter_dodas.services.tfaas.model")

    async def deploy(
        self,
        model: Any,
        *,
        name: str,
        examples: Any = None,
        keys: Sequence[str] = (),
        labels: Sequence[str] = (),
        channels: int = 0,
        metrics: Mapping[str, float] | None = None,
        note: str = "",
    ) -> "AsyncModel":
        """Export a model, upload it, and have the endpoint convert, verify and stage it. Until it is published it is yours alone.

        Parameters
        ----------
        model
            A model of Keras; a function or module of TensorFlow with a signature; a model of ONNX; the path of a ``.keras``,
            ``.onnx``, ``.tflite`` or ``.pb`` file, of the folder of a SavedModel, or of a tarball.
        name
            What to call it: letters, digits, ``_``, ``-`` and ``.``; a further version of one that is there.
        examples
            Some rows that it will get: what serves it is compared with the original on them.
        keys
            Names of its features, in order; by default those of the columns of `examples`.
        labels
            Names of its classes, in the order of outputs.
        channels
            Of the images that it takes, if it takes images.
        metrics, note
            Numbers and a sentence, to be kept with the version.

        Raises
        ------
        ModelRefused
            With what is wrong with it.
        BadInput, NotSupported, NotAllowed, Busy, TimedOut, TooLarge
        """
        from jupyter_dodas.services.tfaas.model import AsyncModel

        about: dict[str, Any] = {"keys": keys, "labels": labels, "channels": channels, "metrics": metrics, "note": note}
        return AsyncModel(await asyncio.to_thread(self.blocking_deploy, model, name=name, examples=examples, **about))

    def blocking_deploy(
        self,
        model: Any,
        *,
        name: str,
        examples: Any = None,
        keys: Sequence[str] = (),
        labels: Sequence[str] = (),
        channels: int = 0,
        metrics: Mapping[str, float] | None = None,
        note: str = "",
    ) -> "Model":
        """See `deploy`; the steps are shown where somebody can see them."""
        from jupyter_dodas.services.tfaas import deploying

        if not _NAME.fullmatch(name):
            raise BadInput(
                f"A model cannot be called {name!r}",
                cause="A name begins with a letter or digit; letters, digits, _, - and . follow, 64 in all.",
                remedy='For instance "k0s".',
            )
        known = {"keys": keys, "labels": labels, "channels": channels, "metrics": metrics or {}, "note": note}
        return deploying.deploy(self._http, self.name, name, model, examples, known)

    async def models(self) -> "Models":
        """Return its models: those that are published, and your own."""
        return await asyncio.to_thread(self.blocking_models)

    def blocking_models(self) -> "Models":
        """See `models`."""
        from jupyter_dodas.services.tfaas.models import Models

        return Models(self._http, self.name)

    async def model(self, name: str, version: str | None = None) -> "AsyncModel":
        """Return a model that is there.

        Parameters
        ----------
        version
            One of its versions; by default whichever is published when it is asked.

        Raises
        ------
        ModelNotFound
        """
        from jupyter_dodas.services.tfaas.model import AsyncModel

        return AsyncModel(await asyncio.to_thread(self.blocking_model, name, version))

    def blocking_model(self, name: str, version: str | None = None) -> "Model":
        """See `model`."""
        from jupyter_dodas.services.tfaas.models import Models

        return Models(self._http, self.name).find(name, version)

    async def client(self) -> "Client":
        """Return what asks the endpoint over HTTP: ``client.get("/v2/models/k0s")``. It blocks, and threads may share it."""
        return self.blocking_client()

    def blocking_client(self) -> "Client":
        """See `client`."""
        from jupyter_dodas.services.tfaas.client import Client

        return Client(self._reach)

    async def page(self) -> str:
        """Return the address of its page."""
        return (await self.connection()).addresses[_ADDRESS]

    @property
    def _http(self) -> "Client":
        if self._kept is None:
            self._kept = self.blocking_client()
        return self._kept

    def _reach(self) -> "Reach":
        """Find out how it is reached."""
        from jupyter_dodas.services.tfaas.client import Reach

        record = blocking.run(self.record)
        connection = blocking.run(self._connection_of, record)
        file: Path = connection.secrets / _TOKEN
        here = record.status.addresses[_ADDRESS]
        lasting = file if self._backend.here == "127.0.0.1" else None  # elsewhere the file ends with this process
        return Reach(connection.addresses[_ADDRESS], lambda: file.read_text().strip(), lasting, inner=(here,))
