"""What an HTCondor pool can be asked for."""

import re
from typing import Annotated, Final, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from jupyter_dodas.options import NUMBER
from jupyter_dodas.options import Options as CommonOptions

__all__ = ["HtcondorOptions"]

_LEAST_MEMORY: Final = 128 * 2**20  # bytes; an idle worker takes half of it
_POOL: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")


class HtcondorOptions(CommonOptions):
    """What an HTCondor pool can be asked for."""

    flock_to: tuple[str, ...] = Field(
        default=(), description="Names of other pools of yours at the same place, which take jobs that find no room here."
    )
    job_deadline: Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False), NUMBER] | None = Field(
        default=None, description="Seconds that a job may run; one that runs longer is held. By default without a bound."
    )

    @field_validator("flock_to")
    @classmethod
    def _names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _POOL.fullmatch(name):
                raise PydanticCustomError("pool", f"{name!r} cannot be the name of a pool")
        return names

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if small := self.with_less_memory(_LEAST_MEMORY):
            why = "memory of less than 128 MiB has no room for the daemons of a worker, let alone for jobs"
            raise PydanticCustomError("room", why, {"retry": dict.fromkeys(small, _LEAST_MEMORY)})
        return self
