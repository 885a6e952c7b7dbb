"""Requests and replies of the service: who asks, how much of it is taken, and errors in one shape."""

import hmac
import logging
import re
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from jupyterhub.services.auth import HubOAuth, HubOAuthenticated, check_scopes  # type: ignore[import-untyped]
from pydantic import BaseModel, TypeAdapter, ValidationError
from tornado import web

from jupyter_dodas.errors import Busy, DodasError, InvalidOption, NotAllowed, ProvisionerUnreachable, Unauthenticated
from jupyter_dodas.hub.infrastructures.access import HubApi
from jupyter_dodas.hub.infrastructures.checks import Caller
from jupyter_dodas.hub.infrastructures.credentials import Credentials, group, user
from jupyter_dodas.hub.infrastructures.desk import Desk
from jupyter_dodas.hub.infrastructures.offers import Offers
from jupyter_dodas.statuses import status_of
from jupyter_dodas.views import ErrorView

__all__ = ["EVERYBODY", "LARGEST", "Handler", "Pace", "Room"]

EVERYBODY: Final = "custom:dodas:infrastructures"
"""The hub's scope that lets the hub itself, and whoever else an administrator names, speak for everybody."""

LARGEST: Final = 2 << 20
"""Bytes of a request: a template has at most half of that."""

_ADMIN: Final = "admin:users"
_TOKEN: Final = re.compile(r"(?:token|bearer)\s+(\S+)", re.IGNORECASE)

_log = logging.getLogger(__name__)


class Pace:
    """Requests of one user within some time, so that none keeps the others waiting.

    Parameters
    ----------
    rate, burst
        Requests a second, and at once.
    """

    def __init__(self, rate: float = 20.0, burst: float = 100.0) -> None:
        self._rate, self._burst = rate, burst
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, who: str, now: float) -> None:
        """Count a request.

        Raises
        ------
        Busy
        """
        left, then = self._left.get(who, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        if left < 1:
            raise Busy("Too much is asked of the service of infrastructures", cause="By you, in a short time.", after=1.0)
        self._left[who] = (left - 1, now)


class Room:
    """What handlers share."""

    def __init__(self, desk: Desk, offers: Offers, credentials: Credentials, hub: HubApi, auth: HubOAuth) -> None:
        self.desk, self.offers, self.credentials, self.hub, self.auth = desk, offers, credentials, hub, auth
        self.pace = Pace()


class Handler(HubOAuthenticated, web.RequestHandler):  # type: ignore[misc]
    """A handler of the REST API, for whoever has a token of the hub.

    A browser's cookie, which another page could send, counts together with what the page of the service alone knows.
    """

    room: Room
    who: Mapping[str, Any]
    """The hub's model of who asks."""

    def initialize(self, room: Room) -> None:
        """Take what is shared."""
        self.room, self.hub_auth = room, room.auth

    def set_default_headers(self) -> None:
        """Keep replies out of caches, and out of pages."""
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")

    def check_xsrf_cookie(self) -> None:
        """Ask for nothing yet: see `_by_cookie`."""

    async def prepare(self) -> None:
        """Find out who asks."""
        header = self.request.headers.get("Authorization", "")
        try:
            self.who = await (self._by_token(header) if header else self._by_cookie()) or {}
        except web.HTTPError as error:
            raise ProvisionerUnreachable(
                "The hub does not answer", cause=error.log_message or "", remedy="Try again in a moment."
            ) from None
        if not self.who:
            raise Unauthenticated("The hub does not know this token", remedy="Ask the hub for a new one, or sign in again.")
        if not check_scopes(self.room.auth.access_scopes, set(self.who["scopes"])):
            raise NotAllowed(
                "This token does not open the service of infrastructures",
                cause="It lacks the scope access:services!service=infrastructures.",
                remedy="Ask the hub for one that has it.",
            )
        self.room.pace.take(f"{self.who['kind']}:{self.who['name']}", time.monotonic())

    async def _by_token(self, header: str) -> Any:
        found = _TOKEN.fullmatch(header)
        return await self.room.auth.user_for_token(found[1], sync=False) if found is not None else None

    async def _by_cookie(self) -> Any:
        """Return whose browser it is, if the page of the service has sent this, also where nothing is changed."""
        shown = self.request.headers.get("X-XSRFToken", "").encode()
        if not shown:
            raise Unauthenticated("A token of the hub is needed", remedy="Send it as Authorization: token ...")
        found = await self.room.auth._get_user_cookie(self)  # noqa: SLF001 - there is no other way without the token in the address
        if found and not hmac.compare_digest(shown, self.xsrf_token):
            raise NotAllowed("This request does not come from the page of the service", remedy="Load the page again.")
        return found

    @property
    def speaks_for_everybody(self) -> bool:
        """Whether whoever asks may name any owner: an administrator with all their rights, or the hub itself."""
        scopes = set(self.who["scopes"])
        return bool(scopes & {_ADMIN, EVERYBODY})

    @property
    def owner(self) -> str:
        """For whom it is asked.

        Raises
        ------
        NotAllowed
            If it is for somebody else.
        """
        own = str(self.who["name"]) if self.who["kind"] == "user" else ""
        owner = self.get_query_argument("owner", "").removeprefix("user:") or own
        if owner != own and not self.speaks_for_everybody:
            raise NotAllowed("You may not ask for others", cause=f"You are {self.who['name']!r}.", remedy="Leave the owner out.")
        if not owner or len(owner) > 255:
            raise InvalidOption("It is not said for whom", option="owner", remedy="A service of the hub has to name an owner.")
        return owner

    async def caller(self) -> Caller:
        """Return for whom it is asked, with their groups.

        Raises
        ------
        NotAllowed, ProvisionerUnreachable
        """
        owner = self.owner
        if self.who["kind"] == "user" and owner == self.who["name"]:
            return Caller(owner, tuple(map(str, self.who.get("groups") or ())))
        told = self.get_query_arguments("group")  # the hub knows them, and says so
        return Caller(owner, tuple(told or await self.room.hub.groups(owner)))

    @property
    def purse(self) -> str:
        """Whose credentials are meant.

        Raises
        ------
        NotAllowed
        """
        owner = self.get_query_argument("owner", "")
        if owner.startswith("group:"):
            if not self.speaks_for_everybody:
                raise NotAllowed(
                    "Credentials of a group are an administrator's business",
                    cause="Everybody of the group may use them.",
                    remedy="Keep some of your own, or ask an administrator.",
                )
            return group(owner.removeprefix("group:"))
        return user(self.owner)

    def body(self, model: Any) -> Any:
        """Return the body as a model.

        Raises
        ------
        InvalidOption
        """
        try:
            return TypeAdapter(model).validate_json(self.request.body or b"{}")
        except ValidationError as error:
            # Without the value: it may be secret, and it is the sender's anyhow.
            detail = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, detail["loc"]))
            raise InvalidOption(f"{where or 'The request'} will not do: {detail['msg']}", option=where) from None

    def reply(self, value: Any, status: int = HTTPStatus.OK) -> None:
        """Send models as JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(value.model_dump_json() if isinstance(value, BaseModel) else TypeAdapter(Any).dump_json(value))

    def write_error(self, status_code: int, **more: Any) -> None:
        """Send an error in the one shape."""
        error = (more.get("exc_info") or (None, None, None))[1]
        if isinstance(error, Unauthenticated):
            status = HTTPStatus.UNAUTHORIZED
        elif isinstance(error, NotAllowed):
            status = HTTPStatus.FORBIDDEN
        elif isinstance(error, DodasError):
            status = status_of(error)
        else:
            status = HTTPStatus(status_code)
            error = DodasError(
                error.reason or status.phrase if isinstance(error, web.HTTPError) else "Something unexpected happened",
                cause="" if isinstance(error, web.HTTPError) else "This is a defect of jupyter-dodas.",
                remedy="" if isinstance(error, web.HTTPError) else "Please report it, with what the log of the hub says.",
            )
        if isinstance(error, Busy):
            self.set_header("Retry-After", f"{error.after:.0f}")
        self.reply(ErrorView.of(error), status)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Tell of what nobody foresaw."""
        if isinstance(value, DodasError):
            _log.info("%s %s: %s", self.request.method, self.request.path, value.message)
        else:
            super().log_exception(typ, value, tb)
