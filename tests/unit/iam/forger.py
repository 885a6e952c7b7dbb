"""A provider that can be made to say anything, signed or not: what ours must see through."""

import json
import time
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from tornado import httpserver, netutil, web

from jupyter_dodas.iam.provider import Provider

CLIENT = "hub"


class Forger:
    """Serves one provider in this loop. Everything that it says can be replaced."""

    def __init__(self) -> None:
        sockets = netutil.bind_sockets(0, "127.0.0.1")
        self.issuer = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        self.keys = {"one": rsa.generate_private_key(public_exponent=65537, key_size=2048)}
        self.claims: dict[str, Any] = {"sub": "s", "iss": f"{self.issuer}/", "aud": CLIENT, "nonce": "n"}
        self.headers: dict[str, Any] = {"kid": "one"}
        self.userinfo: dict[str, Any] = {"sub": "s", "preferred_username": "alice", "groups": ["cms"]}
        self.access: dict[str, Any] | None = None
        self.id_token: str | None = None
        self.body: bytes | None = None
        self.asked: list[str] = []
        self._server = httpserver.HTTPServer(web.Application([(r"(.*)", _Everything, {"forger": self})]))
        self._server.add_sockets(sockets)
        self.provider = Provider(self.issuer, CLIENT, lambda: "secret", patience=1.0)

    def sign(self, claims: dict[str, Any], key: object = None, algorithm: str = "RS256") -> str:
        now = int(time.time())
        shown = {"iat": now, "exp": now + 600, **claims}
        return jwt.encode(
            {name: value for name, value in shown.items() if value is not None},
            self.keys["one"] if key is None else key,  # type: ignore[arg-type]
            algorithm,
            headers={name: value for name, value in self.headers.items() if value is not None},
        )

    def reply(self, path: str) -> bytes:
        self.asked.append(path)
        if self.body is not None:
            return self.body
        if path == "/token":
            access = "opaque" if self.access is None else self.sign(self.access)
            id_token = self.sign(self.claims) if self.id_token is None else self.id_token
            return json.dumps({"access_token": access, "id_token": id_token, "expires_in": 3600}).encode()
        if path == "/userinfo":
            return json.dumps(self.userinfo).encode()
        if path == "/jwk":
            to_jwk = jwt.algorithms.RSAAlgorithm.to_jwk
            shown = [{**to_jwk(key.public_key(), as_dict=True), "kid": name, "use": "sig"} for name, key in self.keys.items()]
            return json.dumps({"keys": shown}).encode()
        ends = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint")
        document = {end: f"{self.issuer}/{end.partition('_')[0]}" for end in ends}
        return json.dumps({**document, "issuer": f"{self.issuer}/", "jwks_uri": f"{self.issuer}/jwk"}).encode()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.provider.close()
        self._server.stop()
        await self._server.close_all_connections()


class _Everything(web.RequestHandler):
    def initialize(self, forger: Forger) -> None:
        self._forger = forger

    def get(self, path: str) -> None:
        self.finish(self._forger.reply(path))

    post = get
