"""A hub for one machine: the development IAM, the proxy, and notebooks that are processes.

Try it with ``jupyterhub -f hub_config/jupyterhub_config.py``. Everybody who signs in works as the account that the hub runs as;
where that is root, as an account of their own. Variables: DODAS_HUB_PORT (8000; the three above it are used, too), DODAS_HUB_STATE
(a folder, for keys and records), DODAS_HUB_IDLE (seconds after which a notebook that nobody uses ends; 3600, 0 for never).
"""

import os
import secrets
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from jupyter_dodas import settings
from jupyter_dodas.hub.culling import end_idle
from jupyter_dodas.hub.defaults import configure

here = Path(__file__).resolve().parent
c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821 - JupyterHub puts it here

port = int(os.environ.get("DODAS_HUB_PORT", "8000"))
iam_port = int(os.environ.get("DODAS_HUB_IAM_PORT", port + 2))
users = Path(os.environ.get("DODAS_HUB_USERS", here / "users.toml"))
root = os.getuid() == 0
own = Path("/var/lib/jupyter-dodas") if root and "DODAS_STATE" not in os.environ else settings.load().state / "hub"
state = Path(os.environ.get("DODAS_HUB_STATE") or own)
# As root, with an account for each user, they pass through it to what is theirs. No file in it is for them.
state.mkdir(mode=0o711 if root else 0o700, parents=True, exist_ok=True)


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
database = state / "hub.sqlite"
database.touch(mode=0o600)
database.chmod(0o600)  # what stands in it is for nobody else, though they pass by
with closing(sqlite3.connect(database)) as connection:
    # Fewer waits for the disk, during which the hub does nothing else, and as safe when the power fails.
    connection.execute("PRAGMA journal_mode = WAL")
c.JupyterHub.db_url = f"sqlite:///{database}"
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
c.Spawner.args = [
    # Versions come from the environment of the hub, so there is nothing to install or to update from inside.
    "--LabApp.extension_manager=readonly",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.news_url=None",
    # Other users of the machine can connect to a kernel's ports, and read its output unless it is encrypted.
    "--KernelManager.transport_encryption=auto",
    *(["--allow-root"] if root else []),
]
c.Spawner.http_timeout = 120

if idle := int(os.environ.get("DODAS_HUB_IDLE", "3600")):
    end_idle(c, after=idle)
