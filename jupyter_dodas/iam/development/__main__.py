"""Run the development IAM: ``python -m jupyter_dodas.iam.development --users FILE --port N``.

SIGHUP makes it sign with a new key. Users and groups are read again when their file changes.
"""

import argparse
import asyncio
import ipaddress
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from jupyter_dodas.errors import DodasError, InvalidSetting
from jupyter_dodas.iam.development.app import make_app
from jupyter_dodas.iam.development.directory import Client, DirectoryFile
from jupyter_dodas.iam.development.grants import Grants
from jupyter_dodas.iam.development.state import StateFile


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m jupyter_dodas.iam.development", description=__doc__)
    parser.add_argument("--users", type=Path, required=True, help="TOML file of users and clients")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--state", type=Path, help="keeps keys and sessions; by default beside the file of users")
    parser.add_argument("--client", help="id of a client that the file does not have")
    parser.add_argument("--secret-file", type=Path, help="with its secret")
    parser.add_argument("--redirect", action="append", default=[], help="where it may have people sent back to")
    parser.add_argument("--scope", help="what it may ask for")
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        clients = {} if asked.client is None else {asked.client: _client(asked)}
        state = asked.state or asked.users.with_suffix(".state.json")
        asyncio.run(_serve(DirectoryFile(asked.users, clients), asked.host, asked.port, state))
    except DodasError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - it is a command
        return 2
    return 0


def _client(asked: argparse.Namespace) -> Client:
    if asked.secret_file is None:
        raise InvalidSetting("--client needs --secret-file", remedy="Write the secret into a file that only you can read.")
    scope = {} if asked.scope is None else {"scope": asked.scope}
    return Client(secret_file=asked.secret_file.absolute(), redirects=tuple(asked.redirect), **scope)


async def _serve(directory: DirectoryFile, host: str, port: int, state: Path) -> None:
    check_host(host)
    file = StateFile(state)
    issuer = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    server = make_app(Grants(issuer, directory, file))
    try:
        server.listen(port, host)
    except OSError as error:
        raise InvalidSetting(
            f"{host}:{port} cannot be listened on", cause=str(error), remedy="Give another --port, or stop who listens there."
        ) from error
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, file.turn_keys)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    logging.getLogger(__name__).info("The development IAM is at %s", issuer)
    await ended.wait()


def check_host(host: str) -> None:
    """Refuse every address but those of this machine.

    Raises
    ------
    InvalidSetting
        For any other.
    """
    try:
        if ipaddress.ip_address(host).is_loopback:
            return
    except ValueError:
        pass  # a name could lead anywhere
    raise InvalidSetting(
        f"The development IAM does not listen on {host}",
        cause="It asks for no password, so whoever reaches it can be anybody.",
        remedy="Leave --host out, or give a loopback address such as 127.0.0.1. For other machines use a real IAM.",
    )


if __name__ == "__main__":
    sys.exit(main())
