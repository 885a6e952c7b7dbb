"""HTCondor's own commands: what a shell must have so that they work on a pool."""

import asyncio
import atexit
import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from jupyter_dodas.errors import PoolUnreachable
from jupyter_dodas.services.htcondor import configuration
from jupyter_dodas.services.htcondor.daemons import Daemons, find
from jupyter_dodas.services.htcondor.laying import CONFIGURATION, write
from jupyter_dodas.services.htcondor.porter import address_of
from jupyter_dodas.services.htcondor.session import Where
from jupyter_dodas.services.htcondor.tokens import USER_TOKEN

__all__ = ["surroundings"]

_PATIENCE: Final = 30.0
"""Seconds in which a pool must answer."""
_WANTED: Final = ("MyType", "Name", "Machine", "MyAddress", "CondorVersion", "CondorPlatform")


async def surroundings(where: Where) -> Mapping[str, str]:
    """Return the variables of such a shell. What they name goes with this process.

    Raises
    ------
    MissingSoftware
        If the commands are not on this machine.
    PoolUnreachable
    """
    daemons = find()
    folder = _folder(where.domain)
    tokens = folder / "tokens"
    tokens.mkdir(mode=0o700, exist_ok=True)
    write(tokens / USER_TOKEN, where.token)
    text = configuration.client(where.domain, where.address, tokens, daemons)
    file = write(folder / CONFIGURATION, text.encode())
    path = (str(daemons.bin), str(daemons.sbin), os.environ.get("PATH", os.defpath))
    variables = {"CONDOR_CONFIG": str(file), "PATH": os.pathsep.join(path)}
    ad = await _queue(daemons, variables, where)
    said = ad.get("MyAddress", "").strip('"')
    if not said.startswith(f"<{where.address}?"):
        # What it says of itself leads nowhere from here. Commands believe what they find on their own machine instead.
        there = {**ad, **dict.fromkeys(("MyAddress", "ScheddIpAddr"), f'"{address_of(said, where.address)}"')}
        note = write(folder / "schedd", "".join(f"{name} = {value}\n" for name, value in there.items()).encode())
        write(file, f"{text}SCHEDD_HOST =\nSCHEDD_DAEMON_AD_FILE = {note}\n".encode())
    return variables


async def _queue(daemons: Daemons, variables: Mapping[str, str], where: Where) -> Mapping[str, str]:
    """Ask what the queue says of itself: expressions by the names of attributes."""
    asked = ("-schedd", "-constraint", f'Name == "{where.schedd}"', "-long", "-attributes", ",".join(_WANTED))
    process = await asyncio.create_subprocess_exec(
        daemons.bin / "condor_status",
        *asked,
        env={**os.environ, **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            out, wrong = await process.communicate()
    except TimeoutError:
        out, wrong = b"", b"Nothing came back in time."
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = (line.partition(" = ") for line in out.decode(errors="replace").splitlines())
    if found := {name: value for name, _, value in said if name in _WANTED}:
        return found
    raise PoolUnreachable(
        f"The queue of {where.domain.rpartition('.')[0]} does not answer",
        cause=wrong.decode(errors="replace").strip() or "Its manager does not know of it.",
        remedy="Its manager may be starting again: try again in some seconds; its log says more: cluster.logs('manager').",
    )


@cache
def _folder(_domain: str) -> Path:
    """Make a folder for a pool, which goes with this process."""
    folder = Path(tempfile.mkdtemp(prefix="dodas-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
