"""The provider's endpoints."""

import base64
import binascii
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote_plus, urlencode

from tornado import web

from jupyter_dodas.errors import IamRefused
from jupyter_dodas.iam.development import pages
from jupyter_dodas.iam.development.claims import allowed
from jupyter_dodas.iam.development.directory import Client
from jupyter_dodas.iam.development.grants import Authorization, Grants
from jupyter_dodas.iam.provider import EXCHANGE

__all__ = ["make_app"]

_log = logging.getLogger(__name__)

_STATUS: Final = {"invalid_client": HTTPStatus.UNAUTHORIZED, "unauthorized_client": HTTPStatus.UNAUTHORIZED}
_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")


def make_app(grants: Grants) -> web.Application:
    """Return the application."""
    routes: list[tuple[str, type[web.RequestHandler]]] = [
        (r"/+\.well-known/openid-configuration", _Discovery),  # some put it behind an issuer that ends with a slash
        (r"/jwk", _Keys),
        (r"/authorize", _Authorize),
        (r"/token", _Token),
        (r"/userinfo", _UserInfo),
        (r"/introspect", _Introspect),
        (r"/revoke", _Revoke),
    ]
    return web.Application(routes, grants=grants, log_function=_log_request, default_handler_class=_Nothing)


def _log_request(handler: web.RequestHandler) -> None:
    # The path alone: what stands behind it is nobody's business.
    _log.info("%s %s %s", handler.get_status(), handler.request.method, handler.request.path)


class _Handler(web.RequestHandler):
    @property
    def grants(self) -> Grants:
        found: Grants = self.application.settings["grants"]
        return found

    def prepare(self) -> None:
        # A name that somebody points at this machine must not make their pages a part of this provider.
        if self.request.host.rpartition(":")[0] not in _HOSTS and self.request.host not in _HOSTS:
            raise web.HTTPError(HTTPStatus.MISDIRECTED_REQUEST)

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        # No form-action: browsers apply it to where the form's reply leads, and that is back to the client.
        policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
        self.set_header("Content-Security-Policy", policy)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, IamRefused):
            self.set_status(_STATUS.get(error.error, HTTPStatus.BAD_REQUEST))
            self.finish({"error": error.error, "error_description": error.cause})
        else:
            self.finish({"error": "server_error" if status_code >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request"})

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        # A refusal is an answer. Tornado's own words would hold the whole address.
        if not isinstance(value, IamRefused | web.HTTPError):
            _log.error("%s failed", self.request.path, exc_info=(typ, value, tb))

    def form(self) -> Mapping[str, str]:
        """Return what the form holds; of what is said twice, the last."""
        return {name: self.get_body_argument(name) for name in self.request.body_arguments}

    def client(self) -> str:
        """Return the client that calls."""
        kind, _, shown = self.request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "basic":
            return self.grants.client(self.get_body_argument("client_id", ""), self.get_body_argument("client_secret", ""))
        try:
            name, _, secret = base64.b64decode(shown, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise IamRefused("invalid_client", "Bad client credentials") from None
        return self.grants.client(unquote_plus(name), unquote_plus(secret))


class _Nothing(_Handler):
    def prepare(self) -> None:
        raise web.HTTPError(HTTPStatus.NOT_FOUND)


class _Discovery(_Handler):
    def get(self) -> None:
        base = self.grants.issuer.rstrip("/")
        now = self.grants.now
        scopes = {"openid", "profile", "email", "offline_access", *(one for it in now.clients.values() for one in it.scope.split())}
        self.finish(
            {
                "issuer": self.grants.issuer,
                "authorization_endpoint": f"{base}/authorize",
                "token_endpoint": f"{base}/token",
                "userinfo_endpoint": f"{base}/userinfo",
                "jwks_uri": f"{base}/jwk",
                "introspection_endpoint": f"{base}/introspect",
                "revocation_endpoint": f"{base}/revoke",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "grant_types_supported": ["authorization_code", "refresh_token", EXCHANGE],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                "scopes_supported": sorted(scopes),
            }
        )


class _Keys(_Handler):
    def get(self) -> None:
        self.finish(self.grants.file.public_keys())


Said = Callable[[str, str], str]


class _Authorize(_Handler):
    """Shows who can be chosen, and sends the browser back with a code for the one who was."""

    def get(self) -> None:
        self._answer(self.get_query_argument, self._show)

    def post(self) -> None:
        self._answer(self.get_body_argument, self._agree)

    def _answer(self, said: Said, then: Callable[[Authorization, Said], Mapping[str, str] | None]) -> None:
        name, redirect = said("client_id", ""), said("redirect_uri", "")
        client = self.grants.now.clients.get(name)
        if client is None or redirect not in client.redirects:
            # To whom it should be told is not certain, so it is told here.
            why = "The client is not known here." if client is None else f"The client may not have people sent to {redirect}."
            self.set_status(HTTPStatus.BAD_REQUEST)
            self.finish(pages.problem(why))
            return
        try:
            reply = then(_asked(name, client, said), said)
        except IamRefused as refusal:
            reply = {"error": refusal.error, "error_description": refusal.cause}
        if reply is not None:
            state = {"state": said("state", "")} if said("state", "") else {}
            self.redirect(f"{redirect}{'&' if '?' in redirect else '?'}{urlencode({**reply, **state})}")

    def _show(self, asked: Authorization, said: Said) -> None:
        names = [name for name in self.request.query_arguments if name != "user"]
        self.finish(pages.sign_in(self.grants.now, {name: said(name, "") for name in names}))

    def _agree(self, asked: Authorization, said: Said) -> Mapping[str, str]:
        return {"code": self.grants.code(asked, said("user", ""))}


def _asked(name: str, client: Client, said: Said) -> Authorization:
    if said("response_type", "") != "code":
        raise IamRefused("unsupported_response_type", "Only code is.")
    if said("code_challenge_method", "") != "S256" or not said("code_challenge", ""):
        raise IamRefused("invalid_request", "PKCE with S256 is needed.")
    scope = tuple(said("scope", "").split())
    if not allowed(client, scope):
        raise IamRefused("invalid_scope", "The client does not have all of these scopes.")
    if said("prompt", "") == "none":
        raise IamRefused("login_required", "Nobody is signed in: this provider asks each time.")
    nonce, audience = said("nonce", ""), said("audience", "") or said("aud", "")
    return Authorization(name, said("redirect_uri", ""), scope, said("code_challenge", ""), nonce, audience)


class _Token(_Handler):
    def post(self) -> None:
        self.finish(self.grants.grant(self.client(), self.form()))


class _UserInfo(_Handler):
    def get(self) -> None:
        kind, _, token = self.request.headers.get("Authorization", "").partition(" ")
        found = self.grants.userinfo(token) if kind.lower() == "bearer" else None
        if found is None:
            self.set_status(HTTPStatus.UNAUTHORIZED)
            self.set_header("WWW-Authenticate", 'Bearer error="invalid_token"')
            self.finish({"error": "invalid_token", "error_description": "Invalid access token"})
        else:
            self.finish(found)


class _Introspect(_Handler):
    def post(self) -> None:
        self.finish(self.grants.introspect(self.client(), self.get_body_argument("token", "")))


class _Revoke(_Handler):
    def post(self) -> None:
        self.grants.revoke(self.client(), self.get_body_argument("token", ""))
        self.finish({})
