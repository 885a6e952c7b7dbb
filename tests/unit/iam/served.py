"""The development IAM in this loop, and a client of it."""

import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tornado import httpserver, netutil

from jupyter_dodas.iam.development.app import make_app
from jupyter_dodas.iam.development.directory import DirectoryFile
from jupyter_dodas.iam.development.grants import Grants
from jupyter_dodas.iam.development.state import StateFile
from jupyter_dodas.iam.provider import Grant, Provider

BACK = "http://127.0.0.1:8000/hub/oauth_callback"
SCOPE = "openid profile email offline_access wlcg.groups storage.read:/cms"
USERS = f"""
[users.alice]
name = "<b>Alice</b>"
groups = ["cms"]
optional_groups = ["shifts"]

[clients.hub]
secret_file = "secret"
redirects = ["{BACK}"]
scope = "{SCOPE} storage.read:/"

[clients.other]
secret_file = "secret"
scope = "openid storage.read:/"
"""


@dataclass
class Served:
    """The provider in this loop, and a client of it."""

    folder: Path
    issuer: str
    grants: Grants
    provider: Provider

    async def sign_in(self, user: str = "alice", scope: str = SCOPE, **changed: str) -> str:
        """Return the answer that the browser carries back."""
        verifier = changed.pop("verifier", "v" * 43)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {"response_type": "code", "client_id": "hub", "redirect_uri": BACK, "scope": scope, "nonce": "n", "state": "s"}
        asked |= {"code_challenge": challenge, "code_challenge_method": "S256", **changed}
        async with httpx.AsyncClient() as browser:
            reply = await browser.post(f"{self.issuer}authorize", data={**asked, "user": user})
        return str(reply.headers.get("location", f"{reply.status_code} {reply.text}"))

    async def redeem(self, code: str, verifier: str = "v" * 43, back_to: str = BACK) -> Grant:
        return await self.provider.redeem(code, verifier=verifier, back_to=back_to)

    async def session(self, scope: str = SCOPE) -> Grant:
        return await self.redeem(httpx.URL(await self.sign_in(scope=scope)).params["code"])

    async def introspect(self, token: str) -> dict[str, Any]:
        async with httpx.AsyncClient() as client:
            reply = await client.post(f"{self.issuer}introspect", data={"token": token}, auth=("hub", "top"))
            found: dict[str, Any] = reply.json()
            return found


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Served]:
    """Serve the users above from files in a folder."""
    (folder / "secret").write_text("top\n")
    (folder / "users.toml").write_text(USERS)
    sockets = netutil.bind_sockets(0, "127.0.0.1")
    issuer = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/"
    grants = Grants(issuer, DirectoryFile(folder / "users.toml"), StateFile(folder / "state.json"))
    server = httpserver.HTTPServer(make_app(grants))
    server.add_sockets(sockets)
    provider = Provider(issuer, "hub", lambda: "top")
    try:
        yield Served(folder, issuer, grants, provider)
    finally:
        await provider.close()
        server.stop()
        await server.close_all_connections()
