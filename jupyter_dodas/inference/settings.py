"""What can be set of an inference server: flags of ``dodas-tfaas``, or a TOML file with the same names. Secrets are files."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from jupyter_dodas.errors import InvalidSetting

__all__ = ["Anonymous", "Settings", "load"]

Anonymous = Literal["none", "predict", "all"]
"""What callers without a token may do: nothing, predict with what is published, or everything."""


def _path(value: object) -> object:
    return Path(value).expanduser().absolute() if isinstance(value, str) and value != "-" else value


def _size(value: object) -> object:
    """Read 2GiB, 64 MB or a number of bytes."""
    if not isinstance(value, str):
        return value
    number, unit = value.strip(), ""
    while number and not number[-1].isdigit():
        number, unit = number[:-1], number[-1] + unit
    factor = _UNITS.get(unit.strip().lower())
    return value if factor is None or not number else float(number) * factor


_UNITS: Final = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}

File = Annotated[Path, BeforeValidator(_path)]
Size = Annotated[int, BeforeValidator(_size), Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]
Port = Annotated[int, Field(ge=0, le=65535)]
Names = tuple[str, ...]


class Settings(BaseModel):
    """Everything that can be set of an inference server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: File = Field(description="Models and their versions; one server at a time, replicas may read it.")
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=8083, description="Port to listen on; 0 takes one that is free.")
    port_file: File | None = Field(default=None, description="File that gets the port, once the server is ready.")
    base: str = Field(default="", description="Prefix of all of TFaaS's paths, as its own `base` is.")
    certificate: File | None = Field(default=None, description="Certificate for HTTPS, with its chain.")
    key: File | None = Field(default=None, description="Key of that certificate.")

    token_file: File | None = Field(default=None, description="File with the server's own token, which may do everything.")
    issuer: str | None = Field(default=None, description="IAM whose access tokens are taken.")
    audience: Names = Field(default=(), description="For whom such tokens must be: one of these is enough.")
    scopes: Names = Field(default=(), description="Scopes that such a token must all have.")
    groups: Names = Field(default=(), description="Groups of which its owner must be in one; none given: anybody may predict.")
    upload_groups: Names = Field(default=(), description="Groups whose members may upload; `*` is everybody with a token.")
    publish_groups: Names = Field(
        default=(), description="Groups whose members may publish, roll back and delete; `*` is everybody."
    )
    upload_scopes: Names = Field(default=(), description="Scopes each of which lets its holder upload.")
    publish_scopes: Names = Field(default=(), description="Scopes each of which lets its holder publish, roll back and delete.")
    administrators: Names = Field(
        default=(), description="Groups whose members may do everything, with what others have staged too."
    )
    anonymous: Anonymous = Field(default="none", description="What callers without a token may do: none, predict, all.")
    rate: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Requests a second of one caller; by default without a bound."
    )
    burst: Annotated[int, Field(gt=0)] = Field(default=100, description="Requests of one caller that may come at once.")

    upload_cap: Size = Field(default=2 << 30, description="Bytes of the largest upload.")
    body_cap: Size = Field(default=64 << 20, description="Bytes of the largest other body, also once it is unpacked.")
    timeout: Seconds = Field(default=30.0, description="Seconds for a prediction, its wait included, and for a body to come in.")
    upload_timeout: Seconds = Field(default=600.0, description="Seconds for an upload to come in.")
    grace: Seconds = Field(default=30.0, description="Seconds that requests under way have once the server is told to end.")

    resident: Annotated[int, Field(gt=0)] = Field(
        default=10, description="Models that are loaded at once; the least recently used goes."
    )
    worker_memory: Size = Field(default=2 << 30, description="Bytes of memory of one model's process.")
    queue_rows: Annotated[int, Field(gt=0)] = Field(default=4096, description="Rows of one model that may wait.")
    queue_bytes: Size = Field(default=256 << 20, description="Bytes of one model that may wait.")
    standby: bool = Field(default=True, description="Whether TensorFlow is imported before the first upload comes, not with it.")
    replicas_port: Port | None = Field(default=None, description="Port at which replicas join; 0 takes one that is free.")
    control_port: Port | None = Field(default=None, description="Port at which the controller of a cluster asks and is told.")
    certificates: File | None = Field(
        default=None, description="Folder with the cluster's own certificate, for replicas and controller."
    )
    target: Annotated[int, Field(gt=0)] = Field(default=32, description="Requests under way that each replica is to have.")

    log: File | Literal["-"] | None = Field(
        default=None, description="Access log in JSON lines: a file, or - for the standard output."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "Settings":
        if self.issuer is not None and not self.audience:
            raise ValueError("an issuer needs an audience, or tokens for other services would do here")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a certificate needs its key, and a key its certificate")
        if (self.replicas_port is not None or self.control_port is not None) and self.certificates is None:
            raise ValueError("replicas and controller need the folder of certificates")
        if self.base and (not self.base.startswith("/") or self.base.endswith("/")):
            raise ValueError("the base begins with a slash, and ends without one")
        if self.anonymous == "none" and self.token_file is None and self.issuer is None:
            raise ValueError("nobody could call it: give a token_file or an issuer, or say what anonymous callers may do")
        return self


def load(file: Path | None, **flags: Any) -> Settings:
    """Read the settings: flags win over the file.

    Raises
    ------
    InvalidSetting
        With the setting, and what is wrong with it.
    """
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values = tomllib.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InvalidSetting(f"{file} cannot be read", cause=str(error), remedy="Mend or remove the file.") from error
    values.update({name: value for name, value in flags.items() if value is not None})
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        detail = error.errors()[0]
        setting = ".".join(str(part) for part in detail["loc"])
        what = detail["msg"].removeprefix("Value error, ")
        raise InvalidSetting(
            f"The setting {setting} will not do: {what}" if setting else f"The settings do not fit together: {what}",
            cause="It stands in the file, or was given as a flag." if setting else "",
            remedy="`dodas-tfaas --help` lists every setting.",
        ) from None
