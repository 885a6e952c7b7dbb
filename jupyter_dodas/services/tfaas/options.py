"""What a TFaaS endpoint can be asked for."""

import os
from typing import Annotated, Final, Literal, Self

from pydantic import AliasChoices, ByteSize, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from jupyter_dodas.options import NUMBER, WHOLE, Count, Memory
from jupyter_dodas.options import Options as CommonOptions

__all__ = ["TfaasOptions"]

_LEAST_MEMORY: Final = 256 * 2**20  # bytes; a replica with one small model takes half of it
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), NUMBER]


class TfaasOptions(CommonOptions):
    """What a TFaaS endpoint can be asked for."""

    workers: Count = Field(
        default=1,
        validation_alias=AliasChoices("workers", "replicas"),
        description="How many replicas compute; `replicas` is TFaaS's word for it. With 0 the server itself does.",
    )
    store: str | None = Field(
        default=None,
        description="Folder that keeps the models beyond the endpoint, for one at a time; by default they end with it.",
    )
    anonymous: Literal["none", "predict", "all"] = Field(
        default="none", description="What callers without a token may do: nothing, predict with published models, or everything."
    )
    issuer: str | None = Field(default=None, description="IAM whose access tokens are taken, besides the endpoint's own token.")
    audience: tuple[str, ...] = Field(default=(), description="For whom such tokens must be; one of them is enough.")
    callers: tuple[str, ...] = Field(
        default=(), description="Groups of the issuer whose members may predict; by default everybody with a token of it."
    )
    publishers: tuple[str, ...] = Field(
        default=(), description="Groups whose members may upload, publish, roll back and delete; by default nobody."
    )
    rate: _Positive | None = Field(default=None, description="Requests a second of one caller; by default without a bound.")
    deadline: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False), NUMBER] = Field(
        default=30.0, description="Seconds that a prediction may take."
    )
    resident: Annotated[int, Field(ge=1, le=1000), WHOLE] = Field(
        default=10, description="Models that are loaded at once; the least recently used goes."
    )
    model_memory: Memory = Field(default=ByteSize(2 * 2**30), description="Memory of the process of one model.")
    target: Annotated[int, Field(ge=1, le=100_000), WHOLE] = Field(
        default=32, description="Requests under way for each of the replicas that follow the work; fewer requests, more replicas."
    )

    @field_validator("store")
    @classmethod
    def _absolute(cls, store: str | None) -> str | None:
        return None if store is None else os.path.abspath(os.path.expanduser(store))  # noqa: PTH100, PTH111

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.issuer is not None and not self.audience:
            raise PydanticCustomError(
                "audience", "an issuer needs an audience, or tokens that are meant for other services would do"
            )
        if self.issuer is None and (self.audience or self.callers or self.publishers):
            raise PydanticCustomError("issuer", "audience, callers and publishers say something of an issuer, and none is given")
        if small := self.with_less_memory(_LEAST_MEMORY):
            why = "memory of less than 256 MiB has no room for a replica, let alone for models"
            raise PydanticCustomError("room", why, {"retry": dict.fromkeys(small, _LEAST_MEMORY)})
        return self
