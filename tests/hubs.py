"""A JupyterHub of its own for tests: hub, proxy and identity provider as processes, and a browser without a screen."""

import html
import json
import os
import random
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, Self
from urllib.parse import parse_qs, urlsplit

import httpx

from jupyter_dodas.testing.waiting import blocking_until

__all__ = ["ROOT", "Browser", "DevelopmentIam", "Hub", "OidcProvider", "Program", "free_ports"]

ROOT: Final = Path(__file__).resolve().parents[1]
PROXY: Final = ROOT / "hub_config" / "node_modules" / ".bin" / "configurable-http-proxy"
PEER: Final = ROOT / "tests" / "hub" / "peer"

USERS: Final = {
    "alice": {"name": "Alice Ampère", "email": "alice@example.org", "groups": ["cms", "cms/italy"]},
    "bob": {"groups": ["cms"]},
    "carol": {"groups": ["admins"]},
    "dave": {"groups": ["cms-x", "atlas"]},
    "eve": {"groups": ["cms"], "suspended": True},
}


def free_ports(count: int) -> Sequence[int]:
    """Ports of this machine that nobody listens on.

    They are below those that the system gives to clients, or one of these could have taken one before its server listens.
    """
    with ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            port = random.SystemRandom().randrange(12_000, 32_000)
            with suppress(OSError):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
                found.append(port)
        return found


class Program(AbstractContextManager["Program"]):
    """A process with a log, ended with the test."""

    def __init__(self, command: Sequence[str], folder: Path, name: str, **variables: str) -> None:
        self.log = folder / f"{name}.log"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "DODAS_"))}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env={**inherited, **variables}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def said(self) -> str:
        """What stands in its log."""
        return self.log.read_text("utf-8", "replace")

    def stop(self) -> None:
        """Stop it as an administrator does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __exit__(self, *_: object) -> None:
        self.stop()


def answers(url: str, program: Program) -> httpx.Response | None:
    if program.process.poll() is not None:
        raise AssertionError(f"It ended with {program.process.returncode}:\n{program.said()[-4000:]}")
    try:
        return httpx.get(url, timeout=2)
    except httpx.HTTPError:
        return None


class DevelopmentIam:
    """The development IAM as a process, and the file of its users."""

    def __init__(self, folder: Path, port: int, redirects: Sequence[str], **settings: Any) -> None:
        self.folder, self.port = folder, port
        self.issuer = f"http://127.0.0.1:{port}/"
        self.file = folder / "users.toml"
        self.users: dict[str, dict[str, Any]] = json.loads(json.dumps(USERS))
        self.settings: dict[str, Any] = {"lifetimes": {}, **settings}
        scope = "openid profile email offline_access wlcg.groups storage.read:/ storage.read:/cms compute.read"
        self.client = {"secret_file": "client.secret", "redirects": list(redirects), "scope": scope}
        (folder / "client.secret").write_text(secrets.token_hex(16))
        self.write()
        self.start()

    def start(self) -> None:
        """Start it, or start it again."""
        command = [sys.executable, "-m", "jupyter_dodas.iam.development", "--users", str(self.file), "--port", str(self.port)]
        self.program = Program(command, self.folder, "iam")
        blocking_until(lambda: answers(f"{self.issuer}jwk", self.program), within=15)

    def write(self) -> None:
        """Write the file of users as they are now."""
        lines = [f"{key} = {json.dumps(value)}" for key, value in self.settings.items() if not isinstance(value, dict)]
        tables = {f"{key}": value for key, value in self.settings.items() if isinstance(value, dict)}
        tables |= {f"users.{json.dumps(name)}": user for name, user in self.users.items()} | {"clients.hub": self.client}
        for title, table in tables.items():
            lines += [f"[{title}]", *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items())]
        beside = self.file.with_suffix(".new")
        beside.write_text("\n".join(lines) + "\n", "utf-8")
        beside.replace(self.file)

    def change(self, user: str, **facts: Any) -> None:
        """Change something about a user."""
        self.users.setdefault(user, {}).update(facts)
        self.write()

    def signal(self, number: signal.Signals) -> None:
        """Freeze it, wake it, or have it turn its keys."""
        self.program.process.send_signal(number)


class OidcProvider:
    """npm's oidc-provider, which shares no line with ours."""

    def __init__(self, folder: Path, port: int, redirects: Sequence[str]) -> None:
        self.issuer = f"http://127.0.0.1:{port}/"
        (folder / "client.secret").write_text(secrets.token_hex(16))
        command = ["node", str(PEER / "provider.mjs"), str(port), str(folder / "client.secret"), redirects[0], json.dumps(USERS)]
        self.program = Program(command, folder, "oidc-provider")
        blocking_until(lambda: answers(f"{self.issuer}.well-known/openid-configuration", self.program), within=30)


class Hub(AbstractContextManager["Hub"]):
    """A hub with its proxy and its provider, configured as hub_config does it.

    Parameters
    ----------
    lines
        More lines for its configuration.
    peer
        Sign in with npm's oidc-provider.
    iam
        Settings of the development IAM.
    """

    configuration = "jupyterhub_config.py"
    """The file of hub_config that it begins with."""
    variables: ClassVar[Mapping[str, str]] = {}
    """What else it finds in its environment."""

    def __init__(self, lines: str = "", *, peer: bool = False, **iam: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="dodas-hub-", ignore_cleanup_errors=True)
        self._browsers: list[Browser] = []
        self.folder = Path(self._folder.name)
        self.runtime = self.folder / "run"
        self.runtime.mkdir(mode=0o700)
        self.port, self.proxy_port, self.api_port, iam_port = free_ports(4)
        self.url = f"http://127.0.0.1:{self.port}"
        redirects = [f"{self.url}/hub/oauth_callback"]
        self.provider = (
            OidcProvider(self.folder, iam_port, redirects) if peer else DevelopmentIam(self.folder, iam_port, redirects, **iam)
        )
        self.audit = self.folder / "state" / "audit.jsonl"
        (self.folder / "jupyterhub_config.py").write_text(
            f"load_subconfig({str(ROOT / 'hub_config' / self.configuration)!r})\n"
            # The provider is a process of the test, which it can freeze.
            "c.JupyterHub.services = [one for one in c.JupyterHub.services if one['name'] != 'iam']\n"
            f"c.IAMAuthenticator.issuer = {self.provider.issuer!r}\n"
            f"c.IAMAuthenticator.client_secret_file = {str(self.folder / 'client.secret')!r}\n"
            f"c.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:{self.proxy_port}'\n"
            f"c.Spawner.cmd = {[sys.executable, str(ROOT / 'tests' / 'toy' / 'single_user.py')]!r}\n"
            "c.DodasSpawner.profiles = []\n"  # a start asks nothing
            "c.DodasSpawner.account = ''\n"  # whether or not this is root
            "c.JupyterHub.log_level = 'DEBUG'\n" + lines
        )
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise

    @property
    def iam(self) -> DevelopmentIam:
        """The development IAM."""
        assert isinstance(self.provider, DevelopmentIam)
        return self.provider

    def command(self, hub: Sequence[str]) -> Sequence[str]:
        """The command line that starts it."""
        return hub

    def start(self) -> None:
        """Start it, or start it again."""
        self.program = Program(
            self.command([sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"]),
            self.folder,
            "hub",
            **self.variables,
            DODAS_HUB_PORT=str(self.port),
            DODAS_HUB_API_PORT=str(self.api_port),
            DODAS_HUB_STATE=str(self.folder / "state"),
            DODAS_HUB_IDLE="0",
            DODAS_LINGER="0",
            XDG_RUNTIME_DIR=str(self.runtime),
        )
        blocking_until(lambda: (found := answers(f"{self.url}/hub/health", self.program)) and found.is_success, within=120)

    def kill(self) -> None:
        """End it at once, without a word, and leave the proxy and the notebooks alone."""
        self.program.process.kill()
        self.program.process.wait()

    def browser(self) -> "Browser":
        """A browser without any cookie."""
        made = Browser(self)
        self._browsers.append(made)
        return made

    def notes(self, event: str) -> list[dict[str, Any]]:
        """The audit's lines about one kind of event."""
        lines = self.audit.read_text("utf-8").splitlines() if self.audit.exists() else []
        return [line for line in map(json.loads, lines) if line["event"] == event]

    def running(self, mark: str = "") -> list[int]:
        """Everything that runs at the places of its users and has `mark` in its command line."""
        here, found = f"XDG_RUNTIME_DIR={self.runtime}".encode(), []
        for process in Path("/proc").iterdir():
            try:
                variables = (process / "environ").read_bytes().split(b"\0") if process.name.isdigit() else []
                placed = any(one.startswith((b"DODAS_STATE=", b"DODAS_CLUSTER=")) for one in variables)
                if here in variables and placed and mark.encode() in (process / "cmdline").read_bytes():
                    found.append(int(process.name))
            except OSError:
                continue  # it has ended
        return found

    def end_places(self) -> None:
        """End what notebooks of a killed hub may have left."""
        for keeper in self.running("keeper"):
            with suppress(ProcessLookupError):  # it had just ended by itself, or with the one before
                os.kill(keeper, signal.SIGTERM)
        blocking_until(self.running, within=20, meets=lambda left: not left)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for browser in self._browsers:
            browser.client.close()
        self.program.stop()
        self.provider.program.stop()
        self.end_places()
        self._folder.cleanup()


class Reachable(Protocol):
    """Something at an address."""

    url: str


class Browser:
    """Cookies, links and forms; no scripts."""

    def __init__(self, hub: Reachable) -> None:
        self.hub = hub
        self.client = httpx.Client(timeout=60)

    def get(self, path: str, **how: Any) -> httpx.Response:
        """Open a page, without going where it leads."""
        return self.client.get(path if "://" in path else self.hub.url + path, **how)

    def follow(self, reply: httpx.Response, until: str = "\0") -> httpx.Response:
        """Go where it leads, up to the page whose address begins in this way (which is then not opened)."""
        for _ in range(20):
            if not reply.is_redirect or reply.headers["location"].startswith(until):
                return reply
            reply = self.client.get(reply.url.join(reply.headers["location"]))
        raise AssertionError("it leads in a circle")

    def sign_in(self, user: str, following: str = "/hub/home") -> httpx.Response:
        """Sign in, and return the page that this leads to."""
        return self.follow(self.get(self.callback(user, following)))

    def callback(self, user: str, following: str = "/hub/home") -> str:
        """Sign in up to the address that the provider sends the browser back to."""
        reply = self.follow(self.get("/hub/oauth_login", params={"next": following}))
        back = f"{self.hub.url}/hub/oauth_callback"
        for _ in range(6):
            if reply.is_redirect and reply.headers["location"].startswith(back):
                return str(reply.headers["location"])
            action, fields = form(reply.text)
            fields.update({"user": user} if "development IAM" in reply.text else {"login": user, "password": "x"})
            reply = self.follow(self.client.post(reply.url.join(action), data=fields), until=back)
        raise AssertionError(f"nobody sent the browser back: {reply.status_code} {reply.text[:500]}")

    def press(self, page: httpx.Response, button: str, **fields: str) -> httpx.Response:
        """Press a button of a page, with the form around it filled in, and follow where it leads."""
        for found in re.findall(r"<form.*?</form>", page.text, re.DOTALL):
            if re.search(rf"<button[^>]*>\s*{button}", found):
                action, sent = form(found)
                method = re.search(r'method="(\w+)"', found)
                if method is not None and method[1] == "post":
                    return self.follow(self.client.post(page.url.join(action) if action else page.url, data={**sent, **fields}))
                return self.follow(self.get(str(page.url.join(action)), params={**sent, **fields}))
        raise AssertionError(f"{page.url} has no button {button!r}")

    def api(self, method: str, path: str, **how: Any) -> httpx.Response:
        """Ask the hub's API as its pages do."""
        token = next(cookie.value for cookie in self.client.cookies.jar if cookie.name == "_xsrf" and cookie.path == "/hub/")
        how.setdefault("json", {}) if method != "GET" else None
        return self.client.request(method, f"{self.hub.url}/hub/api{path}", headers={"X-XSRFToken": token or ""}, **how)

    def spawn(self, user: str) -> httpx.Response:
        """Start the server of a user, and wait until it runs."""
        reply = self.api("POST", f"/users/{user}/server")
        if reply.is_success:
            blocking_until(lambda: self.api("GET", f"/users/{user}").json()["servers"].get("", {}).get("ready"), within=60)
        return reply

    def variables(self, user: str) -> Mapping[str, str]:
        """The environment of the server of a user."""
        found: dict[str, str] = self.get(f"/user/{user}/variables").json()["variables"]
        return found

    @property
    def cookies(self) -> str:
        """All cookies, as somebody would copy them."""
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.client.cookies.jar)


def form(page: str) -> tuple[str, dict[str, str]]:
    """The action and the fields of a page's first form."""
    found = re.search(r"<form[^>]*>", page)
    assert found is not None, page[:500]
    action = re.search(r'action="([^"]*)"', found[0])
    fields = {}
    for one in re.findall(r"<input[^>]*>", page):
        name, value = re.search(r'name="([^"]*)"', one), re.search(r'value="([^"]*)"', one)
        if name is not None:
            fields[name[1]] = html.unescape(value[1]) if value is not None else ""
    return html.unescape(action[1]) if action is not None else "", fields


def query(url: str) -> dict[str, str]:
    """The query of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query, keep_blank_values=True).items()}
