"""What a user may add to the pods of her clusters: a list of what is allowed, and nothing else. Pure.

A pod that could mount the host's folders, use its network or another service account would reach beyond its namespace, so none of
that is on the list; nor is what this backend itself decides.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from jupyter_dodas.backends.kubernetes.objects import MANAGED
from jupyter_dodas.errors import InvalidSetting

__all__ = ["PodPatch", "checked"]

_CLOSED: Final = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
_OWN: Final = ("jupyter-dodas/", MANAGED)
_OUR_PATHS: Final = ("/run/dodas", "/tmp", "/dev", "/proc", "/sys", "/var/run/secrets")  # noqa: S108

Key = Annotated[str, StringConstraints(min_length=1, max_length=317)]
Text = Annotated[str, StringConstraints(max_length=2**16)]


class Toleration(BaseModel):
    """A taint of nodes that pods may be put on all the same."""

    model_config = _CLOSED

    key: Key | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: Text | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    tolerationSeconds: int | None = None  # noqa: N815 - as the API writes it


class Volume(BaseModel):
    """A claim or a ConfigMap of the namespace, and where pods find it."""

    model_config = _CLOSED

    mount: Annotated[str, StringConstraints(pattern=r"^/[^:]*$", max_length=4096)]
    claim: Key | None = None
    config: Key | None = None
    read_only: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> "Volume":
        if (self.claim is None) == (self.config is None):
            raise PydanticCustomError("volume", "either a claim or a config is needed")
        parts = self.mount.split("/")
        if (
            ".." in parts
            or any(self.mount == path or self.mount.startswith(f"{path}/") for path in _OUR_PATHS)
            or self.mount == "/"
        ):
            raise PydanticCustomError("volume", f"nothing can be mounted at {self.mount}")
        return self


class PodPatch(BaseModel):
    """What is added to every pod."""

    model_config = _CLOSED

    node_selector: Mapping[Key, Text] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    labels: Mapping[Key, Text] = Field(default_factory=dict)
    annotations: Mapping[Key, Text] = Field(default_factory=dict)
    volumes: tuple[Volume, ...] = ()

    @model_validator(mode="after")
    def _not_ours(self) -> "PodPatch":
        for name in (*self.labels, *self.annotations):
            if name.startswith(_OWN) or "kubernetes.io/" in name:
                raise PydanticCustomError("label", f"{name} is not for users to set")
        return self

    def apply(self, pod: dict[str, Any]) -> dict[str, Any]:
        """Return a pod with the additions. What the pod has itself wins."""
        spec, metadata = pod["spec"], pod["metadata"]
        container = spec["containers"][0]
        volumes, mounts = [], []
        for number, volume in enumerate(self.volumes):
            name = f"user-{number}"
            source: dict[str, Any] = {"configMap": {"name": volume.config}}
            if volume.claim is not None:
                source = {"persistentVolumeClaim": {"claimName": volume.claim, "readOnly": volume.read_only}}
            volumes.append({"name": name, **source})
            mounts.append({"name": name, "mountPath": volume.mount, "readOnly": volume.read_only or volume.config is not None})
        container = {**container, "volumeMounts": [*container["volumeMounts"], *mounts]}
        tolerations = [toleration.model_dump(exclude_none=True) for toleration in self.tolerations]
        return {
            **pod,
            "metadata": {
                **metadata,
                "labels": {**self.labels, **metadata["labels"]},
                "annotations": {**self.annotations, **metadata.get("annotations", {})},
            },
            "spec": {
                **spec,
                **({"nodeSelector": dict(self.node_selector)} if self.node_selector else {}),
                **({"tolerations": tolerations} if tolerations else {}),
                "volumes": [*spec["volumes"], *volumes],
                "containers": [container],
            },
        }


def checked(patch: Mapping[str, JsonValue]) -> PodPatch:
    """Return what the settings add to pods.

    Raises
    ------
    InvalidSetting
        If it is not on the list of what may be added.
    """
    try:
        return PodPatch.model_validate(dict(patch))
    except ValidationError as error:
        detail = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in detail["loc"])
        why = "it is not on the list of what may be added" if detail["type"] == "extra_forbidden" else detail["msg"]
        raise InvalidSetting(
            f"The setting kubernetes_pod will not do: {where or 'the table'}: {why}",
            cause="Only what keeps pods within their namespace can be added to them.",
            remedy=f"It can have: {', '.join(PodPatch.model_fields)}.",
        ) from error
