"""Load from wrk, and what a server spends on it."""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import psutil

__all__ = ["Measured", "load"]

# What wrk says at the end, for programs: microseconds, and how many went wrong.
_SCRIPT: Final = """
wrk.method = "POST"
wrk.body = {body}
{headers}
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\nRESULT {{"requests": %d, "us": %d, "p50": %d, "p99": %d, "failed": %d}}\\n', summary.requests,
    summary.duration, latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Measured:
    """One run.

    Parameters
    ----------
    rate
        Requests per second.
    p50, p99
        Milliseconds.
    cpu
        Microseconds of computing of the server and all that it started, for each request.
    failed
        Requests without a good answer.
    """

    rate: float
    p50: float
    p99: float
    cpu: float
    failed: int


def load(server: int, url: str, body: bytes, *, clients: int, seconds: float, headers: Mapping[str, str]) -> Measured:
    """Put a server under load.

    Parameters
    ----------
    server
        The process to account for, with all below it.
    """
    lines = "\n".join(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items())
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT.format(body=json.dumps(body.decode()), headers=lines))
        script.flush()
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:g}s", "--timeout", "30s", "-s", script.name, url]
        before = _computing(server)
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        spent = _computing(server) - before
    said = json.loads(done.stdout.rpartition("RESULT ")[2])
    requests = max(said["requests"], 1)
    return Measured(
        rate=said["requests"] / said["us"] * 1e6,
        p50=said["p50"] / 1e3,
        p99=said["p99"] / 1e3,
        cpu=spent / requests * 1e6,
        failed=said["failed"],
    )


def _computing(pid: int) -> float:
    """Seconds of computing so far, of a process and of those below it, ended ones that were waited for included."""
    total = 0.0
    process = psutil.Process(pid)
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total
