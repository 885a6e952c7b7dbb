"""A hub for one machine: the development IAM, the proxy, and notebooks that are processes of the account that the hub runs as.

Try it with ``jupyterhub -f hub_config/jupyterhub_config.py``. Everybody who signs in works as that one account: it is for trying
out, and for tests. Variables: DODAS_HUB_PORT (8000; the three above it are used, too), DODAS_HUB_STATE (a folder, for keys and
records).
"""

import os
import secrets
import shutil
import sys
from pathlib import Path
from typing import Any

from jupyter_dodas import settings
from jupyter_dodas.hub.defaults import configure

here = Path(__file__).resolve().parent
c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821 - JupyterHub puts it here

port = int(os.environ.get("DODAS_HUB_PORT", "8000"))
iam_port = int(os.environ.get("DODAS_HUB_IAM_PORT", port + 2))
users = Path(os.environ.get("DODAS_HUB_USERS", here / "users.toml"))
state = Path(os.environ.get("DODAS_HUB_STATE") or settings.load().state / "hub")
state.mkdir(mode=0o700, parents=True, exist_ok=True)


def kept(name: str) -> Path:
    """Return a file with a secret of this hub's own, made where it is missing."""
    file = state / name
    if not file.exists():
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
            made.write(secrets.token_hex(32))
    return file


client_secret = kept("client.secret")
callback = f"http://127.0.0.1:{port}/hub/oauth_callback"
configure(c, issuer=f"http://127.0.0.1:{iam_port}/", client_id="hub", client_secret_file=str(client_secret))
c.IAMAuthenticator.oauth_callback_url = callback
c.IAMAuthenticator.allowed_groups = {"cms", "admins"}
c.IAMAuthenticator.admin_groups = {"admins"}
c.IAMAuthenticator.audit_file = str(state / "audit.jsonl")
c.IAMAuthenticator.audiences = {"https://storage.example.org": ["storage.read:/cms"]}

# The IAM runs as a service of the hub: started, started again and ended with it.
scope = "openid profile email offline_access storage.read:/"
iam = [sys.executable, "-m", "jupyter_dodas.iam.development", "--users", str(users), "--port", str(iam_port)]
iam += ["--state", str(state / "iam.json"), "--client", "hub", "--secret-file", str(client_secret), "--redirect", callback]
c.JupyterHub.services = [{"name": "iam", "command": [*iam, "--scope", scope]}]
c.IAMAuthenticator.scope = ["openid", "profile", "email", "offline_access", "storage.read:/cms"]

c.JupyterHub.bind_url = f"http://127.0.0.1:{port}/"
c.JupyterHub.hub_port = int(os.environ.get("DODAS_HUB_API_PORT", port + 3))
c.JupyterHub.db_url = f"sqlite:///{state / 'hub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(kept("cookie.secret"))
c.CryptKeeper.keys = [kept("sessions.key").read_text("ascii")]

# npm's proxy, installed by `npm ci` in this folder, or found on the path.
beside = here / "node_modules" / ".bin" / "configurable-http-proxy"
c.ConfigurableHTTPProxy.command = [
    str(beside) if beside.exists() else shutil.which("configurable-http-proxy") or "configurable-http-proxy"
]
c.ConfigurableHTTPProxy.auth_token = kept("proxy.token").read_text("ascii")
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{port + 1}"
c.ConfigurableHTTPProxy.pid_file = str(state / "proxy.pid")

c.JupyterHub.spawner_class = "dodas"
c.DodasSpawner.state = str(state / "users")
c.DodasSpawner.profiles = [
    {"name": "small", "title": "Small", "description": "For trying things out.", "cores": [1], "memory": ["2 GiB"]},
    {"name": "large", "title": "Large", "description": "For work on larger data.", "cores": [2, 4], "memory": ["4 GiB", "8 GiB"]},
]
c.Spawner.args = ["--allow-root"] if os.getuid() == 0 else []
c.Spawner.http_timeout = 120
