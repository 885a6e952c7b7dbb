"""What signing in, starting servers and handing out tokens cost, beside GenericOAuthenticator and SimpleLocalProcessSpawner.

    script/bench hub [--people N] [--rounds N] [--requests N]

Two hubs, each with its proxy, sign in at one development IAM, and start a server that does nothing. They take turns, and so does
who comes first; the one that waits has nothing to do.
"""

import argparse
import asyncio
import json
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urljoin, urlsplit

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from jupyter_dodas.testing.waiting import blocking_until, until  # noqa: E402
from tests.hubs import PROXY, DevelopmentIam, Program, answers, free_ports  # noqa: E402 - found from here on

KEY: Final = secrets.token_hex(16)
LINGER: Final = 10
"""Seconds for which the place of a user stays awake; usually ten minutes."""
SCOPE: Final = ["openid", "profile", "email", "offline_access", "storage.read:/cms"]

# What both have, and what a comparison needs: every step of a start is shown, and nobody's refresh comes between.
COMMON: Final = """
c.JupyterHub.services = [{{"name": "bench", "api_token": {key!r}}}]
c.JupyterHub.load_roles.append(
    {{"name": "bench", "services": ["bench"], "scopes": ["list:users", "read:users", "read:servers"]}}
)
c.JupyterHub.bind_url = "http://127.0.0.1:{port}/"
c.JupyterHub.hub_port = {api_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.JupyterHub.log_level = "WARN"
c.Spawner.cmd = [{python!r}, {server!r}]
c.Spawner.args = []
c.Authenticator.auth_refresh_age = 3600
c.JupyterHub.concurrent_spawn_limit = 0
"""

OURS: Final = """
load_subconfig({base!r})
c.IAMAuthenticator.issuer = {issuer!r}
c.IAMAuthenticator.client_secret_file = {secret_file!r}
c.IAMAuthenticator.oauth_callback_url = {callback!r}
c.DodasSpawner.profiles = []
c.DodasSpawner.account = ""
"""

THEIRS: Final = """
c.JupyterHub.authenticator_class = "generic-oauth"
c.GenericOAuthenticator.client_id = "hub"
c.GenericOAuthenticator.client_secret = {secret!r}
c.GenericOAuthenticator.oauth_callback_url = {callback!r}
c.GenericOAuthenticator.authorize_url = {issuer!r} + "authorize"
c.GenericOAuthenticator.token_url = {issuer!r} + "token"
c.GenericOAuthenticator.userdata_url = {issuer!r} + "userinfo"
c.GenericOAuthenticator.username_claim = "preferred_username"
c.GenericOAuthenticator.scope = {scope!r}
c.GenericOAuthenticator.manage_groups = True
c.GenericOAuthenticator.auth_state_groups_key = "oauth_user.groups"
c.GenericOAuthenticator.allowed_groups = {{"cms"}}
c.GenericOAuthenticator.admin_groups = {{"admins"}}
c.GenericOAuthenticator.enable_auth_state = True
c.CryptKeeper.keys = [{key!r} * 2]
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {homes!r} + "/{{username}}"
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0}}
c.JupyterHub.db_url = "sqlite:///{folder}/hub.sqlite"
c.JupyterHub.cookie_secret_file = "{folder}/cookie.secret"
"""


class Hub:
    """A hub with its proxy, as one process and its child."""

    def __init__(self, name: str, lines: str, folder: Path, iam: DevelopmentIam, ports: Sequence[int]) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        (self.folder / "run").mkdir(mode=0o700)
        self.port, proxy_port, self.api_port = ports
        self.url = f"http://127.0.0.1:{self.port}"
        secret_file = iam.folder / "client.secret"
        facts = {
            "base": str(ROOT / "hub_config" / "jupyterhub_config.py"),
            "issuer": iam.issuer,
            "secret_file": str(secret_file),
            "secret": secret_file.read_text(),
            "callback": f"{self.url}/hub/oauth_callback",
            "scope": SCOPE,
            "folder": self.folder,
            "homes": str(self.folder),
            "key": KEY,
            "port": self.port,
            "api_port": self.api_port,
            "proxy_port": proxy_port,
            "proxy": str(PROXY),
            "python": sys.executable,
            "server": str(ROOT / "benchmarks" / "_single_user.py"),
        }
        (self.folder / "config.py").write_text((lines + COMMON).format(**facts))
        command = [sys.executable, "-m", "jupyterhub", "-f", "config.py"]
        own = {
            "DODAS_HUB_PORT": str(self.port),
            "DODAS_HUB_STATE": str(self.folder / "state"),
            "DODAS_LINGER": str(LINGER),
            "DODAS_HUB_IDLE": "0",
        }
        self.program = Program(command, self.folder, name, XDG_RUNTIME_DIR=str(self.folder / "run"), **own)
        blocking_until(lambda: (found := answers(f"{self.url}/hub/health", self.program)) and found.is_success, within=60)
        self.process = psutil.Process(self.program.process.pid)

    def cpu(self) -> float:
        """Seconds that the hub's own process has computed."""
        times = self.process.cpu_times()
        return times.user + times.system


@dataclass
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Client:
    """A browser that costs next to nothing itself: a connection to each server, cookies, and no pages."""

    hub: Hub
    cookies: dict[tuple[str, str], str] = field(default_factory=dict)
    streams: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=dict)

    async def ask(self, method: str, url: str, body: bytes = b"", /, **headers: str) -> Reply:
        where = urlsplit(url)
        port = where.port or 80
        path = f"{where.path}?{where.query}" if where.query else where.path
        cookie = "; ".join(f"{name}={value}" for (name, at), value in self.cookies.items() if where.path.startswith(at))
        lines = {"Host": where.netloc, "Cookie": cookie, "Content-Length": str(len(body)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        request = f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body
        try:
            return await self._send(request, port)
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            self.streams.pop(port)[1].close()  # nobody has asked anything on it for so long that it was closed
            return await self._send(request, port)

    async def _send(self, request: bytes, port: int) -> Reply:
        if port not in self.streams:
            self.streams[port] = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        reader, writer = self.streams[port]
        writer.write(request)
        return await self._reply(reader, port)

    async def _reply(self, reader: asyncio.StreamReader, port: int) -> Reply:
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        headers: dict[str, str] = {}
        for name, _, value in (line.partition(": ") for line in lines):
            headers[name.lower()] = value
            if name.lower() == "set-cookie":
                self._keep(value)
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await reader.readline(), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        else:
            body = await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection", "").lower() == "close":
            self.streams.pop(port)[1].close()
        return Reply(int(status.split()[1]), headers, body)

    def _keep(self, cookie: str) -> None:
        pair, *attributes = cookie.split("; ")
        name, _, value = pair.partition("=")
        about = dict(part.lower().partition("=")[::2] for part in attributes)
        self.cookies[name, about.get("path", "/")] = value.strip('"')

    async def follow(self, url: str) -> tuple[str, Reply]:
        """Open a page, and go where it leads."""
        for _ in range(12):
            reply = await self.ask("GET", url)
            if reply.status not in {301, 302, 303}:
                return url, reply
            url = urljoin(url, reply.headers["location"])
        raise AssertionError("it leads in a circle")

    async def sign_in(self, user: str) -> None:
        """From the button on the hub's page over the page of the provider to one's own page, hop by hop."""
        await self.ask("GET", f"{self.hub.url}/hub/login")
        provider, page = await self.follow(f"{self.hub.url}/hub/oauth_login?next=%2Fhub%2Fhome")
        assert page.status == 200, page
        form = urlencode({"user": user}).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        chosen = await self.ask("POST", provider, urlsplit(provider).query.encode() + b"&" + form, **kind)
        assert chosen.status in {302, 303}, chosen
        at, home = await self.follow(chosen.headers["location"])
        assert (home.status, urlsplit(at).path) == (200, "/hub/home"), (at, home)

    async def start(self, user: str) -> None:
        """Start a server, and follow the events until it is ready."""
        xsrf = next(value for (name, path), value in self.cookies.items() if name == "_xsrf" and path == "/hub/")
        api = f"{self.hub.url}/hub/api/users/{user}/server"
        kind = {"Content-Type": "application/json", "X-XSRFToken": xsrf}
        asked = await self.ask("POST", api, b"{}", **kind)
        assert asked.status in {201, 202}, asked
        last = json.loads((await self.ask("GET", f"{api}/progress")).body.rsplit(b"data: ", 1)[1])
        assert last.get("ready"), last

    async def stop(self, user: str) -> None:
        xsrf = next(value for (name, path), value in self.cookies.items() if name == "_xsrf" and path == "/hub/")
        headers = {"X-XSRFToken": xsrf}
        gone = await self.ask("DELETE", f"{self.hub.url}/hub/api/users/{user}/server", **headers)
        assert gone.status in {202, 204}, gone

    async def nobody_runs_anything(self) -> bool:
        users = f"http://127.0.0.1:{self.hub.api_port}/hub/api/users?state=active"
        return not json.loads((await self.ask("GET", users, Authorization=f"token {KEY}")).body)

    def close(self) -> None:
        for _, writer in self.streams.values():
            writer.close()


async def at_once(work: Sequence[Coroutine[Any, Any, None]]) -> float:
    """Do everything at once; returns how many seconds it took. All must succeed."""
    began = time.perf_counter()
    await asyncio.gather(*work)
    return time.perf_counter() - began


async def one_by_one(hub: Hub, people: Sequence[str]) -> float:
    """Sign people in one after the other; returns the milliseconds that the hub computed for each."""
    before = hub.cpu()
    for user in people:
        client = Client(hub)
        await client.sign_in(user)
        client.close()
    return 1000 * (hub.cpu() - before) / len(people)


async def round_of(hub: Hub, people: Sequence[str]) -> tuple[float, float, float]:
    """Everybody signs in at once, then starts a server at once, and soon after that another; returns the durations."""
    await until(lambda: sleeps(hub), within=120)
    clients = {user: Client(hub) for user in people}
    watcher = Client(hub)
    signed_in = await at_once([client.sign_in(user) for user, client in clients.items()])

    async def start() -> float:
        took = await at_once([client.start(user) for user, client in clients.items()])
        await at_once([client.stop(user) for user, client in clients.items()])
        await until(watcher.nobody_runs_anything, within=120)
        return took

    first, second = await start(), await start()
    for client in (watcher, *clients.values()):
        client.close()
    return signed_in, first, second


def sleeps(hub: Hub) -> bool:
    """Whether the places of all users have gone to sleep, so that the next start wakes them."""
    own = str(hub.folder / "run")
    found = psutil.process_iter(["cmdline", "environ"])
    return not any(
        "jupyter_dodas.controller" in (one.info["cmdline"] or ()) and (one.info["environ"] or {}).get("XDG_RUNTIME_DIR") == own
        for one in found
    )


async def tokens(hub: Hub, user: str, requests: int, clients: int = 16) -> list[float]:
    """Seconds that a program waits for an access token that the hub has at hand, while others ask as well."""
    visitor = Client(hub)
    await visitor.sign_in(user)
    await visitor.start(user)
    key = server_token(hub)
    api = f"http://127.0.0.1:{hub.api_port}/hub/api/dodas/token"
    found: list[float] = []

    async def program() -> None:
        client = Client(hub)
        for number in range(requests // clients + 10):
            began = time.perf_counter()
            reply = await client.ask("POST", api, b"{}", **{"Authorization": f"token {key}", "Content-Type": "application/json"})
            assert reply.status == 200, reply
            if number >= 10:
                found.append(time.perf_counter() - began)
        client.close()

    await asyncio.gather(*(program() for _ in range(clients)))
    await visitor.stop(user)
    visitor.close()
    return found


def server_token(hub: Hub) -> str:
    """The token of the one server that runs, as the process has it."""
    for process in psutil.process_iter(["cmdline", "environ"]):
        command, variables = process.info["cmdline"] or [], process.info["environ"] or {}
        ours = variables.get("XDG_RUNTIME_DIR") == str(hub.folder / "run")
        token = variables.get("JUPYTERHUB_API_TOKEN")
        if ours and token and any("_single_user.py" in word for word in command):
            return str(token)
    raise AssertionError("no server runs")


async def measure(ours: Hub, theirs: Hub, people: Sequence[str], rounds: int, requests: int) -> dict[str, Any]:
    found: dict[str, Any] = {name: {"cpu": [], "logins": [], "spawns": [], "again": []} for name in ("ours", "theirs")}
    hubs = {"ours": ours, "theirs": theirs}
    for hub in hubs.values():
        await one_by_one(hub, people)  # what is imported, compiled and looked up for the first time
    for number in range(rounds):
        for name in sorted(hubs, reverse=bool(number % 2)):
            hub = hubs[name]
            found[name]["cpu"].append(await one_by_one(hub, people))
            signed_in, started, again = await round_of(hub, people)
            found[name]["logins"].append(signed_in)
            found[name]["spawns"].append(started)
            found[name]["again"].append(again)
            cpu = found[name]["cpu"][-1]
            say(f"{name:<7} {cpu:5.1f} ms a login; at once: logins {signed_in:.2f} s, spawns {started:.2f} s, again {again:.2f} s")
    found["tokens"] = await tokens(ours, people[0], requests)
    return found


def table(found: Mapping[str, Any], people: int) -> str:
    ours, theirs = found["ours"], found["theirs"]
    middle: Callable[[Sequence[float]], float] = statistics.median

    def against(what: str) -> str:
        first, second = middle(ours[what]), middle(theirs[what])
        return f"{second / first:.2f} x ({people / first:.1f} and {people / second:.1f} in a second)"

    waited = sorted(1000 * one for one in found["tokens"])
    last = waited[int(len(waited) * 0.99)]
    return "\n".join(
        (
            "| measure | must reach | aim | measured |",
            "|---|---|---|---|",
            f"| hub CPU for a login, all hops | 25 ms | 15 ms | {middle(ours['cpu']):.1f} ms ({middle(theirs['cpu']):.1f} ms) |",
            f"| {people} logins at once, against GenericOAuthenticator | 0.9 x | 1.0 x | {against('logins')} |",
            f"| {people} spawns at once, against SimpleLocalProcessSpawner | 0.7 x | 1.0 x | {against('spawns')} |",
            f"| the same again, within ten minutes | | | {against('again')} |",
            f"| token handler, cached, 16 clients, p99 | 10 ms | 4 ms | {last:.1f} ms (median {middle(waited):.1f} ms) |",
        )
    )


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=4000)
    arguments = parser.parse_args()
    people = [f"user{number}" for number in range(arguments.people)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dodas-bench-", ignore_cleanup_errors=True)))
        iam_port, *ports = free_ports(7)
        callbacks = [f"http://127.0.0.1:{port}/hub/oauth_callback" for port in (ports[0], ports[3])]
        iam = DevelopmentIam(folder, iam_port, callbacks)
        stack.callback(iam.program.stop)
        iam.users = {user: {"groups": ["cms"]} for user in people}
        iam.write()
        ours = Hub("ours", OURS, folder, iam, ports[:3])
        stack.enter_context(ours.program)
        theirs = Hub("theirs", THEIRS, folder, iam, ports[3:])
        stack.enter_context(theirs.program)
        found = asyncio.run(measure(ours, theirs, people, arguments.rounds, arguments.requests))
    print(table(found, len(people)))
    results = ROOT / "benchmarks" / "results"
    results.mkdir(exist_ok=True)
    (results / "hub.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
