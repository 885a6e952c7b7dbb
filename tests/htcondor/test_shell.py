"""HTCondor's own commands in a shell of a pool: also where the pool is reached through a port that is not its own."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jupyter_dodas import aio
from jupyter_dodas.services.htcondor.commands import surroundings
from jupyter_dodas.services.htcondor.session import Where
from jupyter_dodas.services.htcondor.tokens import USER_TOKEN, domain
from tests.place import Place

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

SLEEP = "executable = /bin/sleep\narguments = 600\nrequest_memory = 32\ntransfer_executable = false\nqueue 2\n"
LOOK = f"""
printf '{SLEEP.encode("unicode_escape").decode()}' > "$FOLDER/sleep.sub"
condor_submit -spool "$FOLDER/sleep.sub" && condor_q -totals && condor_rm -all && condor_status -schedd -autoformat Name
stat --format %a "$(dirname "$CONDOR_CONFIG")" "$(dirname "$CONDOR_CONFIG")"/tokens/*
echo "$CONDOR_CONFIG"; env; cat "$CONDOR_CONFIG"
"""


@pytest.fixture
async def pool(place: Place) -> AsyncIterator[aio.Cluster]:
    """A pool without workers: jobs wait."""
    async with await aio.launch("htcondor", name="higgs", workers=0, warm=False, timeout=120) as cluster:
        yield cluster


async def where(pool: aio.Cluster, address: str | None = None) -> Where:
    connection, record = await pool.connection(), await pool.record()
    token = (connection.secrets / USER_TOKEN).read_bytes()
    return Where(address or connection.addresses["schedd"], domain(record.name, record.spec.uid), token)


def look(folder: Path) -> str:
    """Return what is to be seen in a shell of the pool."""
    command = [str(Path(sys.executable).with_name("dodas")), "shell", "higgs", "--", "sh", "-ec", LOOK]
    done = subprocess.run(command, env={**os.environ, "FOLDER": str(folder)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_the_commands_work_and_leave_nothing(pool: aio.Cluster, tmp_path: Path) -> None:
    said = await asyncio.to_thread(look, tmp_path)
    known = await where(pool)
    assert "2 job(s) submitted to cluster 1." in said
    assert "Total for user: 2 jobs" in said
    assert f"\n{known.schedd}\n" in said
    assert "\n700\n600\n" in said
    assert "\nDODAS_CLUSTER=higgs\n" in said
    assert known.token.decode() not in said, "a secret is neither in a variable nor in the configuration"
    (config,) = (line for line in said.splitlines() if line.startswith("/") and line.endswith("/condor_config"))
    assert not Path(config).parent.exists()


@asynccontextmanager
async def forwarded(address: str) -> AsyncIterator[str]:
    """Another port that leads to an address."""
    host, _, port = address.rpartition(":")

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(carry(reader, outer), carry(inner, writer), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def ask(variables: Mapping[str, str], *command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **variables}, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0, out
    return out.decode()


async def test_a_pool_that_is_elsewhere_than_it_says_is_reached_all_the_same(pool: aio.Cluster, tmp_path: Path) -> None:
    known = await where(pool)
    (tmp_path / "sleep.sub").write_text(SLEEP)
    async with forwarded(known.address) as address:
        variables = await surroundings(await where(pool, address))
        assert "submitted" in await ask(variables, "condor_submit", "-spool", str(tmp_path / "sleep.sub"))
        assert address in await ask(variables, "condor_q")
        assert known.schedd in await ask(variables, "condor_status", "-schedd")
        await ask(variables, "condor_rm", "-all")
