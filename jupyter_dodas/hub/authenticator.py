"""Signing in to JupyterHub with INDIGO IAM. Three settings do: issuer, client id, and the file with the client's secret."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jupyterhub import roles  # type: ignore[import-untyped]
from oauthenticator.oauth2 import OAuthenticator  # type: ignore[import-untyped]
from traitlets import Bool, Dict, Enum, Float, List, Unicode, default

from jupyter_dodas.errors import DodasError, InvalidSetting
from jupyter_dodas.hub import pages, servers
from jupyter_dodas.hub.audit import Audit
from jupyter_dodas.hub.handlers import Callback, SignIn, SignOut, as_reply, mend_the_hub
from jupyter_dodas.hub.identities import Identities
from jupyter_dodas.hub.mandates import Mandates
from jupyter_dodas.hub.names import hub_name, system_names
from jupyter_dodas.hub.session import Session, Sessions, Standing
from jupyter_dodas.hub.tokens import TokenDesk, TokenHandler, Visits
from jupyter_dodas.hub.watch import Watch
from jupyter_dodas.iam.flights import Flights
from jupyter_dodas.iam.profiles import Profile
from jupyter_dodas.iam.provider import Person, Provider

__all__ = ["IAMAuthenticator"]


class IAMAuthenticator(OAuthenticator):  # type: ignore[misc]
    """Who signs in is who IAM says, with the groups that IAM says now."""

    login_handler = SignIn
    callback_handler = Callback
    logout_handler = SignOut

    issuer = Unicode(config=True, help="Address of the IAM, such as https://iam.example.org/.")
    client_secret_file = Unicode(config=True, help="File with the secret of the hub's client. Nobody but the hub needs to read it.")
    profile = Enum(
        ["", *Profile], default_value="", config=True, help="Token profile of the client; by default it is seen from the tokens."
    )
    audiences = Dict(
        key_trait=Unicode(),
        value_trait=List(Unicode()),
        config=True,
        help="Which tokens servers can have: scopes by audience. The first audience is what they get who name none.",
    )
    by_exchange = Bool(
        False,
        config=True,
        help="Make those tokens by token exchange. By default with the refresh token, which needs no admin of IAM.",
    )
    grace = Float(86400.0, min=0, config=True, help="Seconds that sessions are kept while IAM cannot be asked.")
    audit_file = Unicode(config=True, help="File for a line of JSON for every sign-in, token and launch; by default the log.")

    login_service = Unicode("INDIGO IAM", config=True, help="What the button to sign in says.")
    enable_auth_state = Bool(True, config=True, help="Sessions are kept there, encrypted.")
    manage_groups = Bool(True, config=True, help="Groups are those of IAM.")
    auth_refresh_strict = Bool(True, config=True, help="What cannot be confirmed cannot spawn either, with no kind of credential.")

    @default("scope")
    def _default_scope(self) -> list[str]:
        return ["openid", "profile", "email", "offline_access"]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        mend_the_hub()
        try:
            self._check_settings()
            secret = Path(self.client_secret_file)
            profile = Profile(self.profile) if self.profile else None
            self.provider = Provider(self.issuer, self.client_id, lambda: secret.read_text("utf-8").strip(), profile=profile)
        except InvalidSetting as error:
            raise SystemExit(f"error: {error}") from None
        self.audit = Audit(Path(self.audit_file) if self.audit_file else None, self.log)
        self.sessions = Sessions(self.provider, self.grace)
        self.desk = TokenDesk(self.sessions, self.provider, self.audiences, self.by_exchange, self.audit)
        self.mandates = Mandates(self.desk, self.log) if self.audiences else None
        self.visits = Visits()
        self._refreshes: Flights[bool] = Flights()
        self._reserved = system_names()
        self._watch: Watch | None = None

    def get_handlers(self, app: Any) -> Sequence[tuple[str, type]]:
        """Return the pages of signing in, and the desk for tokens. The hub is there now, so begin to watch over it."""
        self.identities = Identities(app.db, self.issuer)
        self._watch = Watch(app, self.refresh_user, self.auth_refresh_age)
        self._watch.start()
        pages.tell(app)
        return [*super().get_handlers(app), *pages.routes(), *servers.routes(), ("/api/dodas/token", TokenHandler)]

    # -- signing in ---------------------------------------------------------------------------------------------------

    async def authenticate(self, handler: Any, data: object = None, **kwargs: Any) -> dict[str, Any]:
        """Return who has come back from the provider, by the code that they brought."""
        kept = handler.kept()
        try:
            grant = await self.provider.redeem(
                handler.get_query_argument("code"),
                verifier=str(kept.get("code_verifier", "")),
                back_to=self.get_callback_url(handler),
            )
            person = await self.provider.identify(grant, nonce=str(kept.get("nonce", "")))
            name = self.identities.name_of(person.subject) or hub_name(person.username, self._reserved)
        except DodasError as error:
            self.audit.note("sign-in-refused", why=error.code, detail=error.message, address=handler.request.remote_ip)
            raise as_reply(error) from None
        model = self._model(name, person)
        model["auth_state"] = Session.begun(grant, person).model_dump()
        return model

    async def run_post_auth_hook(self, handler: Any, auth_model: dict[str, Any]) -> Any:
        """Bind the name to its owner, now that it is certain that they may come in."""
        subject = auth_model["auth_state"]["subject"]
        try:
            self.identities.bind(subject, auth_model["name"])
        except DodasError as error:
            self.audit.note("sign-in-refused", why=error.code, user=auth_model["name"], subject=subject)
            raise as_reply(error) from None
        self.audit.note(
            "sign-in",
            user=auth_model["name"],
            subject=subject,
            groups=auth_model["groups"],
            admin=bool(auth_model["admin"]),
            address=handler.request.remote_ip,
        )
        self.desk.forget(auth_model["name"])
        return await super().run_post_auth_hook(handler, auth_model)

    async def sign_out(self, user: Any) -> None:
        """End the session of a user, here and at the provider."""
        self._end_tokens(user)
        await self.sessions.end(user)
        self.audit.note("sign-out", user=user.name)

    def _model(self, name: str, person: Person) -> dict[str, Any]:
        admin = True if name in self.admin_users else None
        if admin is None and self.admin_groups:
            admin = bool(person.groups & self.admin_groups)
        return {"name": name, "admin": admin, "groups": sorted(person.groups)}

    # -- staying signed in ----------------------------------------------------------------------------------------------

    async def refresh_user(self, user: Any, handler: Any = None, **kwargs: Any) -> bool:
        """Ask the provider about a user, once for all who want to know at this moment.

        What it says is written here and not by the hub, whose own write would come later, and could put back a refresh token
        that was used meanwhile.
        """
        confirmed = await self._refreshes.join(user.name, lambda: self._refresh(user))
        if not confirmed:
            user._auth_refreshed = None  # noqa: SLF001 - else the hub would go on by what it was told up to `auth_refresh_age` before
        return confirmed

    async def _refresh(self, user: Any) -> bool:
        began = time.monotonic()
        finding = await self.sessions.confirm(user)
        if finding.standing is Standing.KEPT:
            self.log.warning("%s is kept signed in, though the provider cannot be asked: %s", user.name, finding.why)
            return True
        if finding.standing is Standing.DOUBTFUL:
            self.log.warning("%s must sign in again; what they run is kept: %s", user.name, finding.why)
            return False
        if finding.person is None:
            self._lost(user, finding.why)
            return False
        model = self._model(user.name, finding.person)
        user.sync_groups(model["groups"])
        if model["admin"] is not None and model["admin"] != user.admin:
            user.admin = model["admin"]
            roles.assign_default_roles(user.db, entity=user)
        user.db.commit()
        if not await self._may_come_in(user.name, model):
            self._lost(user, "no longer allowed")
            return False
        self.log.debug("%s was confirmed in %.0f ms", user.name, 1000 * (time.monotonic() - began))
        return True

    async def _may_come_in(self, name: str, model: dict[str, Any]) -> bool:
        if not self.check_blocked_users(name, model):
            return False
        return bool(self.allow_all or await self.check_allowed(name, {**model, "auth_state": {}}))

    def _lost(self, user: Any, why: str) -> None:
        self._end_tokens(user)
        if user.active and self._watch is not None and self._watch.end_soon(user):
            self.audit.note("access-lost", user=user.name, why=why)
            self.log.warning("%s may no longer be here (%s): their servers are ended", user.name, why)

    def _end_tokens(self, user: Any) -> None:
        self.desk.forget(user.name)
        if self.mandates is not None:
            self.mandates.take_back(user)

    # -- what people start ----------------------------------------------------------------------------------------------

    def pre_spawn_start(self, user: Any, spawner: Any) -> None:
        """Note that a server is started."""
        self.audit.note("launch", user=user.name, server=spawner.name)

    def post_spawn_stop(self, user: Any, spawner: Any) -> None:
        """Note that it has ended."""
        self.audit.note("end", user=user.name, server=spawner.name)

    # -- settings --------------------------------------------------------------------------------------------------------

    def _check_settings(self) -> None:
        for setting in ("issuer", "client_id", "client_secret_file"):
            if not getattr(self, setting):
                raise InvalidSetting(
                    f"IAMAuthenticator.{setting} is not set",
                    cause="Signing in needs three settings: issuer, client_id, client_secret_file.",
                    remedy="docs/guides/hub.md shows them; `dodas iam check` says whether they fit.",
                )
        try:
            Path(self.client_secret_file).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidSetting(
                f"The secret of the client cannot be read from {self.client_secret_file}",
                cause=str(error),
                remedy="Write it there, readable for the hub alone (chmod 600).",
            ) from error
        if not (self.enable_auth_state and self.manage_groups and self.auth_refresh_age > 0):
            raise InvalidSetting(
                "IAMAuthenticator needs enable_auth_state, manage_groups and an auth_refresh_age above 0",
                cause="Without them, who has left a group would stay.",
                remedy="Leave these settings as they are by default.",
            )
