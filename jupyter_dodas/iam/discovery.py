"""Where a provider has its endpoints: its discovery document, read and judged."""

import ipaddress
import time
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from jupyter_dodas.errors import IamUnreachable, InvalidSetting
from jupyter_dodas.iam.flights import Flights
from jupyter_dodas.iam.transport import Transport

__all__ = ["Discovery", "Metadata", "is_confidential", "same_issuer"]

_LASTS: Final = 3600.0
"""Seconds after which the document is read anew."""


def is_confidential(url: str) -> bool:
    """Whether what is sent to this address can be read by nobody else: TLS, or this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return bool(parts.hostname)
    try:
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.scheme == "http" and parts.hostname == "localhost"


def same_issuer(one: object, other: str) -> bool:
    """Whether two issuers are the same. INDIGO IAM writes its own with a slash at the end, people write it without."""
    return isinstance(one, str) and one.rstrip("/") == other.rstrip("/")


def _confidential(url: str) -> str:
    if not is_confidential(url):
        raise ValueError("it is neither https nor on this machine")
    return url


Endpoint = Annotated[str, AfterValidator(_confidential)]


class Metadata(BaseModel):
    """What a discovery document says, as far as it is used here."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    issuer: str
    authorization_endpoint: Endpoint
    token_endpoint: Endpoint
    jwks_uri: Endpoint
    userinfo_endpoint: Endpoint
    revocation_endpoint: Endpoint | None = None
    introspection_endpoint: Endpoint | None = None
    scopes_supported: tuple[str, ...] = ()
    grant_types_supported: tuple[str, ...] = ("authorization_code",)
    code_challenge_methods_supported: tuple[str, ...] = ()


class Discovery:
    """The document of one issuer, read when it is first needed.

    Parameters
    ----------
    issuer
        Its address, with or without a slash at the end.
    transport
        The connections to it.
    """

    def __init__(self, issuer: str, transport: Transport) -> None:
        if not is_confidential(issuer):
            raise InvalidSetting(
                f"The issuer {issuer!r} will not do",
                cause="Tokens go there, so it must be https, or on this machine.",
                remedy="Write the address of your IAM, for example https://iam.example.org/.",
            )
        self.issuer = issuer
        self._transport = transport
        self._found: Metadata | None = None
        self._until = 0.0
        self._flights: Flights[Metadata] = Flights()

    async def metadata(self) -> Metadata:
        """Return the document; an older one, if the provider does not answer now.

        Raises
        ------
        IamUnreachable
            If there is none yet, and none can be had.
        InvalidSetting
            If it is the document of another issuer.
        """
        if self._found is not None and time.monotonic() < self._until:
            return self._found
        try:
            return await self._flights.join("metadata", self._read)
        except IamUnreachable:
            if self._found is None:
                raise
            return self._found

    async def _read(self) -> Metadata:
        url = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
        document = await self._transport.get(url)
        try:
            found = Metadata.model_validate(document)
        except ValidationError as error:
            detail = error.errors()[0]
            where = ".".join(str(part) for part in detail["loc"])
            raise IamUnreachable(self.issuer, f"{where} of its discovery document: {detail['msg']}.") from error
        if not same_issuer(found.issuer, self.issuer):
            raise InvalidSetting(
                f"{self.issuer} is not the issuer",
                cause=f"Its discovery document says that it is {found.issuer}.",
                remedy=f"If you trust that address, write it: {found.issuer}",
            )
        self._found, self._until = found, time.monotonic() + _LASTS
        return found
