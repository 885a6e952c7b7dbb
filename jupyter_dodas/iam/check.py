"""Whether a hub could sign people in with what it is configured with: everything that can be found out without a user, in words."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import aiohttp

from jupyter_dodas.checks import Check, Verdict
from jupyter_dodas.errors import DodasError, IamRefused, InvalidSetting
from jupyter_dodas.iam.discovery import Metadata
from jupyter_dodas.iam.provider import Provider
from jupyter_dodas.iam.transport import PATIENCE

__all__ = ["examine"]

_NOTHING: Final = "dodas-iam-check"
"""Shown where a code or a token would stand: what is refused then, and how, tells what the client may do."""

_SKEW: Final = 30


async def examine(
    *,
    issuer: str,
    client: str,
    secret_file: Path,
    callback: str = "",
    scope: Sequence[str] = ("openid", "profile", "offline_access"),
) -> Sequence[Check]:
    """Look at the issuer, the secret and what the client may do.

    Parameters
    ----------
    issuer, client, secret_file
        What the hub is configured with.
    callback
        Where the provider is to send people back to: the hub's address with ``/hub/oauth_callback``.
    scope
        What the hub asks for.
    """
    secret = _secret(secret_file)
    found = [secret]
    try:
        provider = Provider(issuer, client, lambda: secret_file.read_text("utf-8").strip(), patience=2 * PATIENCE)
    except InvalidSetting as error:
        return [*found, _bad("Issuer", error)]
    try:
        try:
            metadata = await provider.metadata()
        except DodasError as error:
            return [*found, _bad("Issuer", error)]
        found += [_ok("Issuer", f"{metadata.issuer} answers"), *_document(metadata, scope), await _keys(provider)]
        if secret.verdict is not Verdict.BAD:
            found += await _client(provider)
        found += await _sign_in(provider, metadata, callback, scope)
    finally:
        await provider.close()
    return found


def _secret(file: Path) -> Check:
    about = "Secret"
    try:
        held, mode = file.read_text("utf-8").strip(), file.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        return Check(about=about, verdict=Verdict.BAD, message=str(error), remedy="Write the client's secret into that file.")
    if not held:
        return Check(
            about=about, verdict=Verdict.BAD, message=f"{file} is empty", remedy="Write the client's secret into that file."
        )
    if mode & 0o077:
        return Check(about=about, verdict=Verdict.WARN, message=f"{file} can be read by others", remedy=f"chmod 600 {file}")
    return _ok(about, f"{file} holds one, for its owner alone")


def _document(metadata: Metadata, scope: Sequence[str]) -> Iterator[Check]:
    """Judge the discovery document. Lists in it are optional: one that is not there proves nothing."""
    methods = metadata.code_challenge_methods_supported
    if methods and "S256" not in methods:
        yield Check(about="PKCE", verdict=Verdict.BAD, message="The provider does not know S256", remedy="Update the provider.")
    missing = [one for one in scope if metadata.scopes_supported and one.partition(":")[0] not in _plain(metadata.scopes_supported)]
    if missing:
        message = f"The provider has no scope {', '.join(missing)}"
        yield Check(about="Scopes", verdict=Verdict.WARN, message=message, remedy="See which scopes it lists, or have them added.")
    if "offline_access" not in scope:
        message = "offline_access is not asked for: sessions end with their first access token"
        yield Check(about="Scopes", verdict=Verdict.WARN, message=message, remedy="Add offline_access to IAMAuthenticator.scope.")
    if metadata.revocation_endpoint is None:
        message = "There is no revocation endpoint: signing out ends sessions at the hub only"
        yield Check(about="Signing out", verdict=Verdict.WARN, message=message)


def _plain(scopes: Sequence[str]) -> set[str]:
    return {one.partition(":")[0] for one in scopes}


async def _keys(provider: Provider) -> Check:
    try:
        count = await provider.count_keys()
    except DodasError as error:
        return _bad("Keys", error)
    if not count:
        remedy = "Its jwks_uri must list RSA or elliptic-curve keys."
        return Check(about="Keys", verdict=Verdict.BAD, message="The provider publishes no key that signs", remedy=remedy)
    return _ok("Keys", f"{count} to verify tokens with")


async def _client(provider: Provider) -> Sequence[Check]:
    """Ask for what cannot be given, and judge by the refusal. One that is about the code or the token means: otherwise yes."""
    redeem, renew, exchange = await asyncio.gather(
        _refusal(provider.redeem(_NOTHING, verifier=_NOTHING, back_to="")),
        _refusal(provider.renew(_NOTHING)),
        _refusal(provider.exchange(_NOTHING, scope=["openid"], audience="")),
    )
    if isinstance(redeem, IamRefused) and redeem.error == "invalid_client":
        remedy = "Compare id and secret with the client's page at the provider; was the secret made anew?"
        return [
            Check(about="Client", verdict=Verdict.BAD, message="The provider does not know this client and secret", remedy=remedy)
        ]
    found = [_allowed("Client", redeem, "may sign people in", "authorization_code", Verdict.BAD)]
    found.append(_allowed("Sessions", renew, "may renew tokens", "refresh_token", Verdict.WARN))
    found.append(_allowed("Exchange", exchange, "may exchange tokens", "token-exchange", Verdict.OK))
    return found


def _allowed(about: str, refusal: DodasError, may: str, grant: str, otherwise: Verdict) -> Check:
    if not isinstance(refusal, IamRefused):
        return _bad(about, refusal)
    if refusal.error not in {"unauthorized_client", "unsupported_grant_type"}:
        return _ok(about, f"The client {may}")
    needed = otherwise is not Verdict.OK
    message = f"The client may not: the grant {grant} is off" + ("" if needed else "; it is needed with by_exchange only")
    return Check(about=about, verdict=otherwise, message=message, remedy=f"Turn on {grant} on the client's page." if needed else "")


async def _refusal(asked: object) -> DodasError:
    try:
        await asked  # type: ignore[misc]
    except DodasError as error:
        return error
    return InvalidSetting("The provider granted what does not exist", remedy="Do not trust it.")


async def _sign_in(provider: Provider, metadata: Metadata, callback: str, scope: Sequence[str]) -> Sequence[Check]:
    """Open the page to sign in as a browser would, as far as the provider's first answer."""
    about = "Callback"
    if not callback:
        return [
            Check(
                about=about, verdict=Verdict.WARN, message="Not looked at", remedy="Give --callback https://HUB/hub/oauth_callback."
            )
        ]
    address = await provider.sign_in_address(
        back_to=callback, scope=scope, state=_NOTHING, nonce=_NOTHING, challenge="x" * 43, more={}
    )
    try:
        patience = aiohttp.ClientTimeout(total=2 * PATIENCE)
        async with aiohttp.ClientSession(timeout=patience, trust_env=True) as browser:
            reply = await browser.get(address, allow_redirects=False)
    except (aiohttp.ClientError, TimeoutError) as error:
        why = str(error) or type(error).__name__
        return [Check(about=about, verdict=Verdict.BAD, message=f"{metadata.authorization_endpoint} does not answer: {why}")]
    found = [_sent_back(about, reply, callback)]
    if (date := reply.headers.get("date")) and abs(parsedate_to_datetime(date).timestamp() - time.time()) > _SKEW:
        remedy = "Let both keep time with NTP: tokens of a minute ago would be of tomorrow."
        found.append(Check(about="Clock", verdict=Verdict.BAD, message=f"The provider's clock says {date}", remedy=remedy))
    return found


def _sent_back(about: str, reply: aiohttp.ClientResponse, callback: str) -> Check:
    back = reply.headers.get("location", "")
    if reply.status >= HTTPStatus.BAD_REQUEST:
        remedy = f"Add {callback} to the redirect URIs of the client, to the letter."
        return Check(
            about=about, verdict=Verdict.BAD, message=f"The provider will not send people back to {callback}", remedy=remedy
        )
    said = dict(parse_qsl(urlsplit(back).query))
    if back.startswith(callback) and (error := said.get("error")):
        remedy = "Give the client these scopes at the provider, or ask for fewer." if error == "invalid_scope" else ""
        message = f"The provider refuses what the hub asks for: {error} {said.get('error_description', '')}"
        return Check(about=about, verdict=Verdict.BAD, message=message, remedy=remedy)
    return _ok(about, f"People can be sent back to {callback}")


def _ok(about: str, message: str) -> Check:
    return Check(about=about, verdict=Verdict.OK, message=message)


def _bad(about: str, error: DodasError) -> Check:
    return Check(about=about, verdict=Verdict.BAD, message=f"{error.message}. {error.cause}".strip(), remedy=error.remedy)
