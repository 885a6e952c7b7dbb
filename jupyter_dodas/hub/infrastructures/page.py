"""The page of the service in the hub, for people with a browser: a frame that a script fills, and what that script asks.

The script asks the same as programs do, by the cookie of the sign-in instead of a token. Another page can make a browser send that
cookie, so it counts only together with a word that stands in this page alone, whatever is asked.
"""

import hmac
import json
from collections.abc import Mapping, Sequence
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, get_args

import jinja2
from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler, HubOAuthenticated  # type: ignore[import-untyped]
from pydantic import BaseModel
from tornado import web

import jupyter_dodas
from jupyter_dodas.errors import NotAllowed, Unauthenticated
from jupyter_dodas.hub.infrastructures import handlers
from jupyter_dodas.hub.infrastructures.replies import Room
from jupyter_dodas.provision.clouds import Cloud

__all__ = ["cloud_forms", "routes"]

_HUB: Final = Path(__file__).parents[1]
_TITLES: Final = {"ec2": "EC2", "openstack": "OpenStack", "kubernetes": "Kubernetes", "dummy": "Dummy"}
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)


@cache
def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(str(_HUB / "templates"))
    return jinja2.Environment(loader=loader, autoescape=True).get_template("dodas/infrastructures.html")


@cache
def cloud_forms() -> Mapping[str, Any]:
    """Return what each kind of cloud is to be told, as JSON Schema by the kind."""
    kinds: Sequence[type[BaseModel]] = get_args(get_args(Cloud)[0])
    made = {}
    for kind in kinds:
        schema = kind.model_json_schema()
        name = schema["properties"]["kind"]["const"]
        made[name] = {**schema, "title": _TITLES.get(name, name.capitalize())}
    return made


class Page(HubOAuthenticated, web.RequestHandler):  # type: ignore[misc]
    """All that somebody has."""

    async def prepare(self) -> None:
        """Find out who looks, without keeping others waiting meanwhile."""
        await self.hub_auth.get_user(self, sync=False)  # which remembers it for this request

    @web.authenticated
    async def get(self) -> None:
        """Show the page; what it tells, its script asks for."""
        hub = self.hub_auth.hub_prefix
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "same-origin")
        service = {"name": "infrastructures", "href": self.hub_auth.base_url}
        self.finish(
            _template().render(
                user=self.current_user,
                base_url=hub,
                services=[service],
                here=service["name"],
                parsed_scopes=(),
                version_hash=jupyter_dodas.__version__,
                logout_url=f"{hub}logout",
                static_url=lambda path: f"{hub}static/{path}",
                xsrf=self.xsrf_token.decode("ascii"),
                api=f"{self.hub_auth.base_url}page/api/v1/",
                clouds=json.dumps(cloud_forms()),
                built=(_HUB / "static" / "infrastructures.js").is_file(),
            )
        )

    def write_error(self, status_code: int, **more: Any) -> None:
        """Say in a word what is wrong; the hub's own pages have more of them."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code} {HTTPStatus(status_code).phrase}. Go back to the hub at {self.hub_auth.hub_prefix}home\n")


class Signed(HubOAuthenticated):  # type: ignore[misc]
    """Lets the script of the page in where others need a token."""

    async def prepare(self) -> None:
        """Take the cookie for a token, if it comes from our page."""
        auth: HubOAuth = self.hub_auth
        cookie = self.get_secure_cookie(auth.cookie_name)
        if not cookie:
            raise Unauthenticated("You are not signed in, or no longer", remedy="Load this page again, and sign in.")
        if not hmac.compare_digest(self.request.headers.get("X-XSRFToken", "").encode(), self.xsrf_token):
            raise NotAllowed("This did not come from the page of infrastructures", remedy="Load the page again.")
        self.request.headers["Authorization"] = f"token {cookie.decode('ascii', 'replace')}"
        await super().prepare()

    def check_xsrf_cookie(self) -> None:
        """See `prepare`, which asks for it whatever the method is."""


def routes(prefix: str, room: Room) -> Sequence[tuple[Any, ...]]:
    """Return the handlers of the page, and of what its script asks: all of the API.

    Parameters
    ----------
    prefix
        Path of the service.
    """
    shown = [(prefix, Page), (f"{prefix}oauth_callback", HubOAuthCallbackHandler)]
    asked = [
        (path, type(f"Signed{one.__name__}", (Signed, one), {}), more)
        for path, one, more in handlers.routes(f"{prefix}page/", room)
    ]
    return [*shown, *asked]
