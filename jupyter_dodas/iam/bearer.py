"""A token for a program: asked of the hub that started the notebook, kept while it lasts, and renewed.

Where there is no hub, one that lies where WLCG's bearer token discovery looks for it.
"""

import functools
import json
import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from jupyter_dodas.errors import IamRefused, IamUnreachable, MissingSoftware, NotSupported
from jupyter_dodas.iam.mandate import Mandate

__all__ = ["Given", "TokenSource", "ask", "discovered", "token"]

_PATIENCE: Final = 15.0
"""Seconds; the hub waits at most 5 for the IAM, twice."""


def token(audience: str = "", scopes: Iterable[str] = ()) -> str:
    """Return an access token of yours that will last for a while. Do not keep it: ask again, that costs nothing.

    Parameters
    ----------
    audience
        For whom it is to be, such as ``https://storage.example.org``; by default whatever the hub gives first.
    scopes
        What it is to allow, such as ``storage.read:/cms``; by default all that the hub gives for this audience.

    Raises
    ------
    IamRefused
        If the hub does not give tokens like this.
    IamUnreachable
        If hub or IAM do not answer, and no token is left that still lasts.
    NotSupported
        If this is no notebook of a hub, and no token lies where others put theirs.
    """
    address, key = os.environ.get("JUPYTERHUB_API_URL"), os.environ.get("JUPYTERHUB_API_TOKEN")
    if address and key:
        return _source(address, key).token(audience, scopes)
    found = discovered(os.environ)
    if found is not None and not audience and not tuple(scopes):
        return found
    raise NotSupported(
        "There is nobody to ask for a token",
        cause="This process was not started by a hub.",
        remedy="Use it in a notebook of a hub; or put a token into a file, and its path into BEARER_TOKEN_FILE.",
    )


def discovered(environ: Mapping[str, str]) -> str | None:
    """Return the token that lies where WLCG's bearer token discovery looks, if there is one."""
    if found := environ.get("BEARER_TOKEN", "").strip():
        return found
    name = f"bt_u{os.getuid()}"
    runtime = environ.get("XDG_RUNTIME_DIR")
    files = (environ.get("BEARER_TOKEN_FILE"), runtime and f"{runtime}/{name}", f"/tmp/{name}")  # noqa: S108 - so the rule says
    for file in filter(None, files):
        try:
            if Path(file).stat().st_uid == os.getuid() and (found := Path(file).read_text("utf-8").strip()):
                return found
        except (OSError, UnicodeDecodeError):
            continue
    return None


@dataclass(frozen=True)
class Given:
    """A token that the hub has given.

    Parameters
    ----------
    token
        The token.
    asked
        When it was asked for, in seconds since 1970 by the clock of this machine.
    lasts
        Seconds that it lasts from then on, as the hub says.
    """

    token: str = field(repr=False)
    asked: float
    lasts: float


class TokenSource:
    """The tokens of one user, from one hub.

    Parameters
    ----------
    address
        Of the hub's API.
    key
        The token of the notebook for it.
    """

    def __init__(self, address: str, key: str) -> None:
        self._mandate = Mandate(address, key)
        self._kept: dict[tuple[str, tuple[str, ...]], Given] = {}
        self._lock = threading.Lock()

    def token(self, audience: str = "", scopes: Iterable[str] = ()) -> str:
        """See `jupyter_dodas.iam.token`."""
        about = (audience, tuple(sorted(set(scopes))))
        with self._lock:
            kept, now = self._kept.get(about), time.time()
            # Renewed when half of it is gone, as the hub does itself.
            if kept is None or now > kept.asked + kept.lasts / 2:
                try:
                    kept = self._kept[about] = ask(self._mandate, *about)
                except IamUnreachable:
                    # One that still lasts for a moment is better than none.
                    if kept is None or now > kept.asked + kept.lasts:
                        raise
            return kept.token


def ask(mandate: Mandate, audience: str = "", scopes: Iterable[str] = ()) -> Given:
    """Ask the hub for a token, and wait for it.

    Parameters
    ----------
    mandate
        Whom, and by which right.
    audience, scopes
        See `token`.

    Raises
    ------
    IamRefused, IamUnreachable
        See `token`.
    MissingSoftware
        If the hub gives no tokens.
    """
    asked, url = time.time(), mandate.address.rstrip("/") + "/dodas/token"
    body = json.dumps({"audience": audience, "scopes": list(scopes)}).encode()
    headers = {"Authorization": f"token {mandate.key}", "Content-Type": "application/json"}
    try:
        # A proxy for the world has nothing to do with the hub, and is not to see the token for it.
        with build_opener(ProxyHandler({}), _Straight).open(Request(url, body, headers), timeout=_PATIENCE) as reply:  # noqa: S310
            given = json.load(reply)
        return Given(str(given["access_token"]), asked, float(given["expires_in"]))
    except HTTPError as error:
        raise _refusal(error) from None
    except (URLError, OSError, ValueError, LookupError, TypeError) as error:
        raise IamUnreachable(f"The hub at {urlsplit(url).netloc}", str(error)) from None


class _Straight(HTTPRedirectHandler):
    """Goes nowhere else: the hub answers by itself, and the token for it is for nobody else."""

    def redirect_request(self, *_: object) -> None:
        """Follow to nowhere."""


def _refusal(error: HTTPError) -> Exception:
    with error:
        try:
            said = json.load(error)
        except ValueError:
            said = {}
    if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return IamUnreachable("The hub", str(said.get("message") or f"It replied {error.code}."))
    if error.code == HTTPStatus.NOT_FOUND:
        return MissingSoftware(
            "This hub gives no tokens", cause="It does not sign in with IAM.", remedy="Ask its administrator for IAMAuthenticator."
        )
    return IamRefused("no token for this", str(said.get("message") or f"The hub replied {error.code}."))


@functools.lru_cache(maxsize=4)
def _source(address: str, key: str) -> TokenSource:
    return TokenSource(address, key)
