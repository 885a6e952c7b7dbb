"""Adds the service to the configuration of a hub: its process, what it may do, and who may use it."""

import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from jupyter_dodas.hub.infrastructures.replies import EVERYBODY
from jupyter_dodas.hub.tokens import SCOPE

__all__ = ["NAME", "configure_infrastructures"]

NAME: Final = "infrastructures"
_HUB: Final = "dodas-hub"
"""The service as which the hub's own spawner asks."""


def configure_infrastructures(
    c: Any,
    *,
    state: Path,
    provisioners: Sequence[Mapping[str, Any]],
    url: str,
    port: int,
    **more: Any,
) -> Path:
    """Make a hub offer infrastructures. Call it after `configure`, and once its services are listed.

    Parameters
    ----------
    c
        The configuration object of JupyterHub.
    state
        Folder for its database, keys and configuration.
    provisioners
        See `Maker`.
    url
        Of the hub as everybody reaches it: ``https://hub.example.org``.
    port
        Of this machine's loopback, on which the service listens.
    **more
        See `Configuration`.

    Returns
    -------
    pathlib.Path
        File with the token with which the hub's spawner asks the service, for any user.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    base = f"{url.rstrip('/')}/services/{NAME}"
    written = {
        "provisioners": [dict(one) for one in provisioners],
        "database": str(state / "infrastructures.sqlite"),
        "keys": str(state / "infrastructures.keys"),
        "recipes": f"{base}/recipes",
        "audit": str(state / "infrastructures.audit.jsonl"),
        **{name: str(value) if isinstance(value, Path) else value for name, value in more.items()},
    }
    file = state / "infrastructures.json"
    _write(file, json.dumps(written, indent=1))
    token = state / "infrastructures.token"
    if not token.exists():
        _write(token, secrets.token_hex(32))
    service = {
        "name": NAME,
        "url": f"http://127.0.0.1:{port}",
        "command": [sys.executable, "-m", "jupyter_dodas.hub.infrastructures", "--config", str(file)],
        "oauth_no_confirm": True,
        "display": True,
    }
    hub = {"name": _HUB, "api_token": token.read_text("ascii")}
    c.JupyterHub.services = [*c.JupyterHub.get("services", []), service, hub]
    access = f"access:services!service={NAME}"
    c.JupyterHub.custom_scopes = {
        **c.JupyterHub.get("custom_scopes", {}),
        EVERYBODY: {"description": "See and change the infrastructures of everybody."},
    }
    roles = [_with(one, access) if one["name"] == "user" else one for one in c.JupyterHub.get("load_roles", [])]
    c.JupyterHub.load_roles = [
        *(roles if any(one["name"] == "user" for one in roles) else [*roles, {"name": "user", "scopes": ["self", access]}]),
        {
            "name": f"service-{NAME}",
            "scopes": [SCOPE, "list:users", "read:servers", "read:users:name", "read:users:groups"],
            "services": [NAME],
        },
        {"name": f"service-{_HUB}", "scopes": [EVERYBODY, access], "services": [_HUB]},
    ]
    c.Spawner.server_token_scopes = [*c.Spawner.get("server_token_scopes", []), access]
    # Not through the proxy: it is one of the hub's own questions.
    near = "" if c.JupyterHub.get("internal_ssl", False) else f"http://127.0.0.1:{port}{urlsplit(base).path}"
    c.DodasSpawner.infrastructures, c.DodasSpawner.infrastructures_token = near or base, str(token)
    c.DodasSpawner.hub_address = url
    c.Spawner.environment = {**c.Spawner.get("environment", {}), "DODAS_INFRASTRUCTURES": base}
    return token


def _with(role: Mapping[str, Any], scope: str) -> dict[str, Any]:
    return {**role, "scopes": [*role["scopes"], scope]}


def _write(file: Path, text: str) -> None:
    """Write a file for nobody else, whole or not at all."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as made:
        made.write(text)
    beside.replace(file)
