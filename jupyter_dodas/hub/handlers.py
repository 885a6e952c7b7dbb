"""Signing in and out: the pages between which the browser is sent."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from jupyterhub import orm  # type: ignore[import-untyped]
from jupyterhub.handlers.base import BaseHandler  # type: ignore[import-untyped]
from oauthenticator.oauth2 import (  # type: ignore[import-untyped]
    OAuthCallbackHandler,
    OAuthLoginHandler,
    OAuthLogoutHandler,
    _deserialize_state,
    _serialize_state,
)
from tornado import web

from jupyter_dodas.errors import DodasError, IamRefused, SignInRefused, TokenInvalid

__all__ = ["Callback", "SignIn", "SignOut", "as_reply", "mend_the_hub"]


def as_reply(error: DodasError) -> web.HTTPError:
    """Return an error as the hub's error page shows it."""
    refused = isinstance(error, IamRefused | TokenInvalid | SignInRefused)
    status = HTTPStatus.FORBIDDEN if refused else HTTPStatus.SERVICE_UNAVAILABLE
    return web.HTTPError(status, " ".join(f"{part.rstrip('.')}." for part in (error.message, error.cause, error.remedy) if part))


def mend_the_hub() -> None:
    """Give the hub what its version 6.1.1 lacks, so that who must sign in again is asked to, and not shown an error 500."""
    if not hasattr(BaseHandler, "_token_authenticated"):
        BaseHandler._token_authenticated = False  # noqa: SLF001


class SignIn(OAuthLoginHandler):  # type: ignore[misc]
    """Sends the browser to the provider, and remembers in a cookie what it must come back with."""

    async def get(self) -> None:
        """Begin a sign-in."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        nonce, state = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        try:
            address = await self.authenticator.provider.sign_in_address(
                back_to=self.authenticator.get_callback_url(self),
                scope=self.authenticator.scope,
                state=state,
                nonce=nonce,
                challenge=challenge,
                more=self.authenticator.extra_authorize_params,
            )
        except DodasError as error:
            raise as_reply(error) from None
        kept = {"state": state, "code_verifier": verifier, "nonce": nonce, "next_url": self._get_next_url()}
        self.set_state_cookie(_serialize_state(kept))
        self.redirect(address)


class Callback(OAuthCallbackHandler):  # type: ignore[misc]
    """Where the browser comes back to, with a code."""

    def kept(self) -> Mapping[str, Any]:
        """Return what the cookie remembers. It serves once: reading it also clears it."""
        found = _deserialize_state(self.get_state_cookie())
        return found if isinstance(found, dict) else {}

    def check_arguments(self) -> None:
        """Refuse what does not belong to a sign-in that this browser began; look at nothing else before that."""
        expected = self.kept().get("state") if self.get_state_cookie() else None
        if not isinstance(expected, str):
            raise web.HTTPError(HTTPStatus.BAD_REQUEST, "This sign-in did not begin in this browser, or is over. Sign in again.")
        if not hmac.compare_digest(expected.encode(), self.get_query_argument("state", "").encode()):
            raise web.HTTPError(HTTPStatus.BAD_REQUEST, "This sign-in is not the one that this browser began last. Sign in again.")
        if error := self.get_query_argument("error", ""):
            said = self.get_query_argument("error_description", "")[:_LONGEST]
            raise as_reply(IamRefused(error[:_LONGEST], said))
        if not self.get_query_argument("code", ""):
            raise web.HTTPError(HTTPStatus.BAD_REQUEST, "The identity provider sent no code. Sign in again.")

    async def auth_to_user(self, authenticated: dict[str, Any], user: Any = None) -> Any:
        """Store who has signed in; nobody refreshes their session before at the same time."""
        name = authenticated["name"]
        async with self.authenticator.sessions.replaced(name, lambda: user or self.find_user(name)) as found:
            return await super().auth_to_user(authenticated, found)  # which would look them up again, with seven queries

    def _request_summary(self) -> str:
        # For Tornado's log of what goes wrong: the address without what is secret in it.
        return f"{self.request.method} {self.request.path} ({self.request.remote_ip})"


_LONGEST: Final = 300


class SignOut(OAuthLogoutHandler):  # type: ignore[misc]
    """Ends the session here and at the provider, in every browser."""

    async def default_handle_logout(self) -> None:
        """Sign out whoever the cookie is of, also if the provider no longer wants to know them."""
        user = self.get_current_user_cookie()
        await super().default_handle_logout()
        if user is None:
            return
        if self.current_user is None:
            self._backend_logout_cleanup(user.name)
        # A cookie that somebody copied is worth nothing from here on, neither are the tokens of servers' pages.
        user.orm_user.cookie_id = orm.new_token()
        for token in [token for token in user.orm_user.api_tokens if token.session_id]:
            self.db.delete(token)
        self.db.commit()
        await self.authenticator.sign_out(user)

    async def render_logout_page(self) -> None:
        """Say that it is done."""
        if self.authenticator.logout_redirect_url:
            self.redirect(self.authenticator.logout_redirect_url)
        else:
            self.finish(await self.render_template("logout.html"))
