"""A token for a program: asked of the hub that started the notebook, kept while it lasts, and renewed.

Where there is no hub, one that lies where WLCG's bearer token discovery looks for it.
"""

import functools
import json
import os
import threading
import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from jupyter_dodas.errors import IamRefused, IamUnreachable, MissingSoftware, NotSupported

__all__ = ["TokenSource", "discovered", "token"]

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
        self._url = address.rstrip("/") + "/dodas/token"
        self._key = key
        self._kept: dict[tuple[str, tuple[str, ...]], Mapping[str, Any]] = {}
        self._lock = threading.Lock()

    def token(self, audience: str = "", scopes: Iterable[str] = ()) -> str:
        """See `jupyter_dodas.iam.token`."""
        about = (audience, tuple(sorted(set(scopes))))
        with self._lock:
            kept, now = self._kept.get(about), time.time()
            if kept is None or now > kept["renew"]:
                try:
                    kept = self._kept[about] = self._ask(*about)
                except IamUnreachable:
                    # One that still lasts for a moment is better than none.
                    if kept is None or now > kept["expires"]:
                        raise
            return str(kept["access_token"])

    def _ask(self, audience: str, scopes: tuple[str, ...]) -> Mapping[str, Any]:
        began = time.time()
        body = json.dumps({"audience": audience, "scopes": scopes}).encode()
        headers = {"Authorization": f"token {self._key}", "Content-Type": "application/json"}
        try:
            with urlopen(Request(self._url, body, headers), timeout=_PATIENCE) as reply:  # noqa: S310 - the hub's own address
                given = json.load(reply)
        except HTTPError as error:
            raise _refusal(error) from None
        except (URLError, OSError, ValueError) as error:
            raise IamUnreachable(f"The hub at {urlsplit(self._url).netloc}", str(error)) from None
        # By the hub's seconds, not its clock; renewed when half of them are gone, as the hub does itself.
        return {**given, "expires": began + given["expires_in"], "renew": began + given["expires_in"] / 2}


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
