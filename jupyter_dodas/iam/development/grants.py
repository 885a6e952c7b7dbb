"""What is granted to whom: codes, tokens and their families, by the rules of OAuth and of INDIGO IAM."""

import base64
import hashlib
import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jupyter_dodas.errors import IamRefused
from jupyter_dodas.iam.development.claims import ANY, allowed, profile_of_client, user_claims, wlcg_groups
from jupyter_dodas.iam.development.directory import Directory, DirectoryFile
from jupyter_dodas.iam.development.state import Access, Family, StateFile, digest
from jupyter_dodas.iam.profiles import Profile
from jupyter_dodas.iam.provider import EXCHANGE

__all__ = ["Authorization", "Grants"]

_CODE_LASTS: Final = 60.0


@dataclass(frozen=True)
class Authorization:
    """What a client asked for when it sent somebody here."""

    client: str
    redirect: str
    scope: tuple[str, ...]
    challenge: str
    nonce: str
    audience: str


@dataclass
class _Code:
    asked: Authorization
    user: str
    expires: float
    family: str = ""


class Grants:
    """Gives and takes back.

    Parameters
    ----------
    issuer
        Our address, with a slash at its end as IAM has it.
    directory
        Who there is.
    file
        What was granted before.
    """

    def __init__(self, issuer: str, directory: DirectoryFile, file: StateFile) -> None:
        self.issuer = issuer
        self.directory = directory
        self.file = file
        self._codes: dict[str, _Code] = {}

    @property
    def now(self) -> Directory:
        """Who there is, at this moment."""
        return self.directory.now()

    def client(self, name: str, secret: str) -> str:
        """Return the name of a client that has shown its secret.

        Raises
        ------
        IamRefused
            If it is not known, or has shown another. So do all others here, with the codes of OAuth.
        """
        known = self.now.clients.get(name)
        if known is None or not secrets.compare_digest(self.directory.secret(known).encode(), secret.encode()):
            raise IamRefused("invalid_client", "Bad client credentials")
        return name

    def code(self, asked: Authorization, user: str) -> str:
        """Return a code for what was asked, now that this user has agreed."""
        if not self.now.active(user):
            raise IamRefused("access_denied", f"{user} is suspended.")
        code = secrets.token_urlsafe(24)
        now = time.time()
        self._codes = {name: it for name, it in self._codes.items() if it.expires > now}
        self._codes[code] = _Code(asked, user, now + _CODE_LASTS)
        return code

    def grant(self, client: str, form: Mapping[str, str]) -> dict[str, Any]:
        """Return what the token endpoint gives."""
        kind = form.get("grant_type", "")
        kinds = {"authorization_code": self._redeem, "refresh_token": self._renew, EXCHANGE: self._exchange}
        if kind not in kinds:
            raise IamRefused("unsupported_grant_type", kind)
        if kind not in self.now.clients[client].grants:
            raise IamRefused("unauthorized_client", f"Unauthorized grant type: {kind}")
        given = kinds[kind](client, form)
        self.file.save()
        return given

    def access(self, token: str) -> tuple[dict[str, Any], Access] | None:
        """Return claims and record of an access token that is worth something."""
        claims = self.file.verify(token)
        record = self.file.state.access.get(claims.get("jti", "")) if claims is not None else None
        if claims is None or record is None or not self.now.active(record.user):
            return None
        family = self.file.state.families.get(record.family)
        return None if family is None or family.revoked else (claims, record)

    def refreshable(self, client: str, token: str) -> Family | None:
        """Return the family of a refresh token that is worth something."""
        family = self.file.state.families.get(token.partition(".")[0])
        if family is None or family.client != client or family.revoked or family.expires < time.time():
            return None
        return family if secrets.compare_digest(family.refresh, digest(token)) else None

    def userinfo(self, token: str) -> dict[str, Any] | None:
        """Return what userinfo says to who shows this access token."""
        found = self.access(token)
        if found is None or "openid" not in found[1].scope:
            return None
        record = found[1]
        profile = profile_of_client(self.now, self.now.clients[record.client])
        return user_claims(self.now, record.user, record.scope, profile, record.groups)

    def introspect(self, client: str, token: str) -> dict[str, Any]:
        """Return what is known of a token."""
        if (found := self.access(token)) is not None:
            claims, record = found
            return {**claims, "active": True, "scope": " ".join(record.scope), "token_type": "Bearer", "user_id": record.user}
        if (family := self.refreshable(client, token)) is not None:
            return {"active": True, "client_id": client, "scope": " ".join(family.scope), "exp": int(family.expires)}
        return {"active": False}

    def revoke(self, client: str, token: str) -> None:
        """Make a token worthless; with a refresh token, the whole family."""
        if (family := self.refreshable(client, token)) is not None:
            family.revoked = True
        elif (found := self.access(token)) is not None and found[1].client == client:
            del self.file.state.access[found[0]["jti"]]
        self.file.save()

    # -- the kinds of grant -----------------------------------------------------------------------------------------

    def _redeem(self, client: str, form: Mapping[str, str]) -> dict[str, Any]:
        code = self._codes.get(form.get("code", ""))
        if code is None or code.asked.client != client or code.expires < time.time():
            raise IamRefused("invalid_grant", "The code is not known, or has expired.")
        if code.family:
            self._revoke_family(code.family)
            raise IamRefused("invalid_grant", "The code was used before; what came of it is revoked.")
        if code.asked.redirect != form.get("redirect_uri"):
            raise IamRefused("invalid_grant", "The redirect URI is another.")
        if not secrets.compare_digest(_challenge(form.get("code_verifier", "")), code.asked.challenge):
            raise IamRefused("invalid_grant", "The verifier is not that of the challenge.")
        self._must_be_active(code.user)
        code.family = secrets.token_urlsafe(12)
        asked, lifetime = code.asked, self.now.lifetimes.refresh
        self.file.state.families[code.family] = Family(
            client=client,
            user=code.user,
            scope=list(asked.scope),
            signed_in=int(time.time()),
            audience=asked.audience,
            expires=time.time() + lifetime,
        )
        return self._issue(code.family, asked.scope, form.get("audience") or asked.audience, nonce=asked.nonce)

    def _renew(self, client: str, form: Mapping[str, str]) -> dict[str, Any]:
        token = form.get("refresh_token", "")
        name = token.partition(".")[0]
        family = self.refreshable(client, token)
        if family is None:
            if (known := self.file.state.families.get(name)) is not None and known.client == client:
                self._revoke_family(name)  # one that was replaced: either end may be a thief
            raise IamRefused("invalid_grant", "Invalid refresh token")
        scope = form.get("scope", "").split() or family.scope
        if not _narrower(scope, family.scope):
            raise IamRefused("invalid_scope", "Up-scoping is not allowed.")
        self._must_be_active(family.user)
        return self._issue(name, scope, _audience(form) or family.audience, shown=token)

    def _exchange(self, client: str, form: Mapping[str, str]) -> dict[str, Any]:
        found = self.access(form.get("subject_token", ""))
        if found is None:
            raise IamRefused("invalid_request", "Invalid subject_token")
        claims, subject = found
        scope = form.get("scope", "").split() or subject.scope
        if subject.client == client and "offline_access" in scope:
            raise IamRefused("access_denied", "The same client cannot exchange for offline_access.")
        if not (allowed(self.now.clients[subject.client], scope) and allowed(self.now.clients[client], scope)):
            raise IamRefused("invalid_scope", "Not a scope of both clients.")
        actor = {"sub": client, **({"act": claims["act"]} if "act" in claims else {})}
        given = self._access_token(client, subject.user, scope, _audience(form), subject.family, act=actor)
        return {**given, "issued_token_type": "urn:ietf:params:oauth:token-type:jwt"}

    # -- tokens -------------------------------------------------------------------------------------------------------

    def _issue(self, name: str, scope: Sequence[str], audience: str, nonce: str = "", shown: str = "") -> dict[str, Any]:
        family = self.file.state.families[name]
        given = self._access_token(family.client, family.user, scope, audience, name)
        if "offline_access" in family.scope:
            given["refresh_token"] = self._refresh_token(name, family, shown)
        if "openid" in scope:
            given["id_token"] = self._id_token(family, scope, nonce, given["access_token"])
        return given

    def _access_token(
        self, client: str, user: str, scope: Sequence[str], audience: str, family: str, **more: object
    ) -> dict[str, Any]:
        directory, now = self.now, time.time()
        lifetime = directory.lifetimes.access
        name = str(uuid.uuid4())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": directory.subject(user),
            "iat": int(now),
            "exp": now + lifetime,
            "jti": name,
            "client_id": client,
            **more,
        }
        groups: list[str] = []
        if profile_of_client(directory, directory.clients[client]) is Profile.WLCG:
            groups = wlcg_groups(directory, user, scope)
            claims |= {"wlcg.ver": "1.0", "nbf": int(now), "scope": " ".join(scope), "aud": audience or ANY}
            claims |= {"wlcg.groups": groups} if groups else {}
        elif audience:
            claims["aud"] = audience
        self.file.state.access[name] = Access(
            client=client, user=user, scope=list(scope), family=family, groups=groups, expires=now + lifetime
        )
        shown = {"token_type": "Bearer", "expires_in": lifetime, "scope": " ".join(scope)}
        return {"access_token": self.file.sign(claims), **shown}

    def _refresh_token(self, name: str, family: Family, shown: str) -> str:
        if shown and self.now.refresh_tokens == "reused":
            return shown
        token = f"{name}.{secrets.token_urlsafe(32)}"
        family.refresh, family.expires = digest(token), time.time() + self.now.lifetimes.refresh
        return token

    def _id_token(self, family: Family, scope: Sequence[str], nonce: str, access_token: str) -> str:
        directory, now = self.now, time.time()
        profile = profile_of_client(directory, directory.clients[family.client])
        half = hashlib.sha256(access_token.encode()).digest()[:16]
        claims = {
            "iss": self.issuer,
            "aud": family.client,
            "iat": int(now),
            "exp": now + directory.lifetimes.id,
            "auth_time": family.signed_in,
            "at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode(),
            **({"nonce": nonce} if nonce else {}),
            **user_claims(directory, family.user, scope, profile, wlcg_groups(directory, family.user, scope)),
        }
        return self.file.sign(claims)

    def _must_be_active(self, user: str) -> None:
        if not self.now.active(user):
            raise IamRefused("invalid_grant", f"User {user} is not active.")

    def _revoke_family(self, name: str) -> None:
        if (family := self.file.state.families.get(name)) is not None:
            family.revoked = True
            self.file.save()


def _narrower(scope: Sequence[str], granted: Sequence[str]) -> bool:
    """Whether every scope is one that was granted, or a path below one."""
    return all(one in granted or any(":/" in it and one.startswith(it.rstrip("/") + "/") for it in granted) for one in scope)


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _audience(form: Mapping[str, str]) -> str:
    return form.get("audience") or form.get("aud") or form.get("resource") or ""
