"""What a Spark cluster can be asked for."""

import re
from collections.abc import Mapping
from typing import Final, Self

from pydantic import AliasChoices, ByteSize, Field, StrictBool, field_validator, model_validator
from pydantic_core import PydanticCustomError

from jupyter_dodas.options import Count, Memory
from jupyter_dodas.options import Options as CommonOptions
from jupyter_dodas.services.spark import conf

__all__ = ["SparkOptions"]

_COORDINATES: Final = re.compile(r"[\w.-]+:[\w.-]+:[\w.-]+")


class SparkOptions(CommonOptions):
    """What a Spark cluster can be asked for."""

    workers: Count = Field(
        default=2,
        validation_alias=AliasChoices("workers", "executors"),
        description="How many workers, with one executor in each; `executors` is Spark's word for it.",
    )
    memory: Memory = Field(default=ByteSize(2**30), description='Memory of each executor\'s Java heap, such as "1 GiB".')
    driver_memory: Memory = Field(
        default=ByteSize(2**30), description="Memory of the Java heap of a driver: of `session()`, or of the Connect server."
    )
    connect: StrictBool = Field(
        default=False,
        description="Run a Connect server, so that one kernel can hold several sessions; from outside Kubernetes always.",
    )
    packages: tuple[str, ...] = Field(
        default=(), description='Libraries from Maven, as "group:artifact:version", for drivers and executors.'
    )
    configuration: Mapping[str, str] = Field(
        default_factory=dict, description="Settings of Spark by their names. Never secrets: they stand in the record."
    )

    @field_validator("packages")
    @classmethod
    def _coordinates(cls, packages: tuple[str, ...]) -> tuple[str, ...]:
        for package in packages:
            if not _COORDINATES.fullmatch(package):
                raise PydanticCustomError("package", f"{package!r} names no package: write it as 'group:artifact:version'")
        return packages

    @model_validator(mode="after")
    def _possible(self) -> Self:
        groups = self.all_groups()
        small = dict(self.with_less_memory(conf.OVERHEAD))
        if self.driver_memory < conf.OVERHEAD:
            small["driver_memory"] = "driver"
        if small:
            why = f"Spark needs at least 512 MiB in each {next(iter(small.values()))}"
            raise PydanticCustomError("heap", why, {"retry": dict.fromkeys(small, conf.OVERHEAD)})
        conf.check_asked(self.configuration, groups)
        return self
