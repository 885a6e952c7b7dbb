"""What tests of HTCondor pools share: a user of a pool with HTCondor's own commands, and a look at its daemons."""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from jupyter_dodas import aio
from jupyter_dodas.services.htcondor import configuration
from jupyter_dodas.services.htcondor.daemons import Daemons, find
from jupyter_dodas.services.htcondor.tokens import USER_TOKEN, domain
from jupyter_dodas.testing.waiting import until

__all__ = ["UP", "Batch", "Refused", "asked", "run"]

UP: Final = 150.0
"""Seconds in which whatever starts is there, also on a busy machine."""

_DONE, _HELD, _REMOVED = 4, 5, 3


class Refused(Exception):
    """A command of HTCondor's that failed, with what it said."""


async def run(*command: str | Path, config: Path, folder: Path | None = None) -> str:
    """Run one of HTCondor's commands, and return what it says.

    Raises
    ------
    Refused
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={"CONDOR_CONFIG": str(config), "PATH": os.defpath, "_CONDOR_TOOL_TIMEOUT_MULTIPLIER": "3"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    if process.returncode:
        raise Refused(complained.decode() + said.decode())
    return said.decode()


class Batch:
    """A user of a pool, who has a token and a folder.

    Parameters
    ----------
    domain, schedd
        Of the pool, and where its queue is.
    token
        Empty for who has none.
    """

    def __init__(self, domain: str, schedd: str, token: str, daemons: Daemons | None = None) -> None:
        self.daemons = find() if daemons is None else daemons
        self.folder = Path(tempfile.mkdtemp(prefix="dodas-batch-"))
        self.config = self.folder / "condor_config"
        tokens = self.folder / "tokens"
        tokens.mkdir(mode=0o700)
        if token:
            (tokens / "token").touch(mode=0o600)
            (tokens / "token").write_text(token)
        self.config.write_text(configuration.client(domain, schedd, tokens, self.daemons))

    @classmethod
    @asynccontextmanager
    async def of(cls, cluster: aio.Cluster) -> AsyncIterator["Batch"]:
        """Be the user that the pool is for."""
        record, connection = await cluster.record(), await cluster.connection()
        token = (connection.secrets / USER_TOKEN).read_text()
        batch = cls(domain(record.spec.name, record.spec.uid), connection.addresses["schedd"], token)
        try:
            yield batch
        finally:
            batch.close()

    def close(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    async def command(self, name: str, *arguments: str | Path) -> str:
        """Run a command."""
        program = next(path for folder in (self.daemons.bin, self.daemons.sbin) if (path := folder / name).exists())
        return await run(program, *arguments, config=self.config, folder=self.folder)

    async def submit(self, script: str, count: int = 1, **commands: Any) -> int:
        """Submit jobs that run a script of the shell, and return their number; they read theirs as ``$1``."""
        what = {
            "executable": "/bin/sh",
            "arguments": f"\"-c '{script.replace(chr(39), chr(39) * 2)}' job $(Process)\"",
            "transfer_executable": False,
            "should_transfer_files": True,
            "output": "output.$(Cluster).$(Process)",
            "error": "error.$(Cluster).$(Process)",
            "request_cpus": 1,
            "request_memory": 32,
            "request_disk": 1024,
            **commands,
        }
        file = self.folder / "job.sub"
        file.write_text("".join(f"{name} = {value}\n" for name, value in what.items()) + f"queue {count}\n")
        said = await self.command("condor_submit", "-spool", "-terse", file)
        return int(said.split(".")[0])

    async def jobs(self, number: int | None = None, *attributes: str) -> Sequence[Mapping[str, Any]]:
        """Return what is in the queue."""
        wanted = ["ClusterId", "ProcId", "JobStatus", "NumJobStarts", "RemoteHost", *attributes]
        which = [] if number is None else [str(number)]
        said = await self.command("condor_q", *which, "-json", "-attributes", ",".join(wanted))
        return json.loads(said) if said.strip() else []

    async def running(self, number: int) -> Mapping[str, Any]:
        """Wait until a job runs, and return it."""
        return await self._job(number, 2)

    async def held(self, number: int) -> Mapping[str, Any]:
        """Wait until a job is held, and return it with the reason."""
        return await self._job(number, _HELD)

    async def _job(self, number: int, status: int) -> Mapping[str, Any]:
        def is_so(jobs: Sequence[Mapping[str, Any]]) -> bool:
            return bool(jobs) and jobs[0]["JobStatus"] == status and jobs[0].get("HoldReasonCode") != 16  # spooling

        found = await until(lambda: self.jobs(number, "HoldReason", "HoldReasonCode", "HoldReasonSubCode"), within=UP, meets=is_so)
        return found[0]

    async def results(self, number: int, submitter: "Batch | None" = None) -> Sequence[str]:
        """Wait until jobs are done, and return what they have written, in their order, where their submitter wants it."""
        found = await until(
            lambda: self.jobs(number), within=UP, meets=lambda jobs: jobs and all(job["JobStatus"] == _DONE for job in jobs)
        )
        await self.command("condor_transfer_data", str(number))
        folder = (submitter or self).folder
        return [(folder / f"output.{number}.{process}").read_text().strip() for process in range(len(found))]

    async def run(self, script: str, **commands: Any) -> str:
        """Have a script run as a job, and return what it writes."""
        return (await self.results(await self.submit(script, **commands)))[0]


def asked(cores: int = 1, memory: str = "256 MiB", **options: Any) -> dict[str, Any]:
    """Return options of small workers."""
    return {"cores": cores, "memory": memory, **options}
