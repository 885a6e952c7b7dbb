"""Where configuration comes from: a TOML file of the user, then DODAS_ variables, which win.

The file is ``jupyter-dodas/config.toml`` in the user's configuration folder. ``[limits]`` of the file is ``DODAS_LIMITS_CORES`` and
so on in the environment. Secrets are never settings.
"""

import hashlib
import json
import os
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import platformdirs
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError

from jupyter_dodas.errors import InvalidSetting
from jupyter_dodas.options import Memory

__all__ = ["Limits", "Settings", "load"]

_APP = "jupyter-dodas"

Bound = Annotated[int, Field(ge=0)]


class Limits(BaseModel):
    """The most that one user may hold at once; None is no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clusters: Bound | None = Field(default=None, description="Clusters at once.")
    workers: Bound | None = Field(default=None, description="Workers, over all clusters.")
    cores: Bound | None = Field(default=None, description="Cores of all workers.")
    memory: Memory | None = Field(default=None, description="Memory of all workers.")


def _path(value: object) -> object:
    return Path(value).expanduser().absolute() if isinstance(value, str) else value


def _table(value: object) -> object:
    # A variable holds it as JSON, the file as a table.
    return json.loads(value) if isinstance(value, str) else value


Folder = Annotated[Path, BeforeValidator(_path)]


class Settings(BaseModel):
    """Everything that can be configured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Folder = Field(default_factory=lambda: platformdirs.user_state_path(_APP), description="Records, logs and accounts.")
    runtime: Folder | None = Field(default=None, description="Sockets and locks; on a local disk.")
    backend: str = Field(default="local", description="Where clusters run unless a launch says otherwise.")
    session: str | None = Field(default=None, description="Name of the platform that launches belong to.")
    linger: Annotated[float, Field(ge=0)] = Field(
        default=600.0, description="Seconds that the controller and preloaded processes stay after the last cluster."
    )
    warn_before: Annotated[float, Field(ge=0)] = Field(
        default=600.0, description="Seconds between the warning of an idle cluster and its stop."
    )
    keep_failed: Annotated[float, Field(ge=0)] = Field(default=7 * 86400.0, description="Seconds that a failed cluster is kept.")
    namespaces: bool = Field(default=True, description="Give instances a process namespace of their own where the kernel lets us.")
    kubernetes_config: Folder | None = Field(default=None, description="Kubeconfig of the cluster; by default what kubectl uses.")
    kubernetes_context: str | None = Field(default=None, description="Context of the kubeconfig; by default its current one.")
    kubernetes_namespace: str | None = Field(
        default=None, description="Namespace of the clusters; by default that of the context, or of the pod."
    )
    kubernetes_image: str = Field(
        default="localhost/jupyter-dodas/worker:1", description="Container image of instances, unless a launch names one."
    )
    kubernetes_reserve: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0, description="The part of its cores that is reserved for a worker; less lets more workers share a node."
    )
    kubernetes_pod: Annotated[Mapping[str, JsonValue], BeforeValidator(_table)] = Field(
        default_factory=dict, description="What is added to every pod: node selector, tolerations, labels, annotations, volumes."
    )
    kubernetes_account: str | None = Field(
        default=None, description="Service account of notebooks, with which they launch clusters; by default they have none."
    )
    kubernetes_home: str | None = Field(
        default=None, description="Claim that is the home of notebooks; by default their files end with them."
    )
    kubernetes_storage_class: str | None = Field(
        default=None, description="Storage class of what outlasts a pod, such as a queue of jobs; by default it ends with the pod."
    )
    infrastructures: str | None = Field(
        default=None, description="Address of the hub's service of infrastructures; a notebook of that hub knows it."
    )
    progress: bool = Field(default=True, description="Show below a running cell of a notebook what clusters do for it.")
    limits: Limits = Limits()

    def variables(self) -> dict[str, str]:
        """The settings as variables, so that a process started with them has the same ones."""
        values = self.model_dump(mode="json", exclude_none=True, exclude={"limits", "session"})
        limits = self.limits.model_dump(mode="json", exclude_none=True)
        return {f"DODAS_{key.upper()}": v if isinstance(v, str) else json.dumps(v) for key, v in values.items()} | {
            f"DODAS_LIMITS_{key.upper()}": str(v) for key, v in limits.items()
        }

    def runtime_folder(self) -> Path:
        """The folder for live files of this state root. Short, since a socket's path has at most 107 bytes."""
        if self.runtime is not None:
            return self.runtime
        base = os.environ.get("XDG_RUNTIME_DIR")
        own = hashlib.sha256(os.fsencode(self.state)).hexdigest()[:12]
        if base and Path(base).is_dir():
            return Path(base) / _APP / own
        # One level, whose owner is checked before it is used: in a folder open to all, a parent could be somebody else's.
        return Path(tempfile.gettempdir()) / f"{_APP}-{os.getuid()}-{own}"


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the configuration.

    Raises
    ------
    InvalidSetting
        With the setting, and where it stands.
    """
    environ = os.environ if environ is None else environ
    file = Path(environ.get("DODAS_CONFIG") or platformdirs.user_config_path(_APP) / "config.toml")
    values: dict[str, Any] = {}
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise InvalidSetting(f"{file} cannot be read", cause=str(error), remedy="Mend or remove the file.") from error
    for key in Settings.model_fields:
        if key != "limits" and (value := environ.get(f"DODAS_{key.upper()}")):
            values[key] = value
    limits = {key: value for key in Limits.model_fields if (value := environ.get(f"DODAS_LIMITS_{key.upper()}"))}
    if limits:
        values["limits"] = {**values.get("limits", {}), **limits}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        detail = error.errors()[0]
        setting = ".".join(str(part) for part in detail["loc"])
        raise InvalidSetting(
            f"The setting {setting} will not do: {detail['msg']}",
            cause=f"It stands in {file} or in DODAS_{setting.upper().replace('.', '_')}.",
            remedy="docs/reference/settings.md lists every setting with its values.",
        ) from error
