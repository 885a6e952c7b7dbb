"""A pool of HTCondor as somebody makes it by hand for one afternoon: a manager, two workers, quick cycles, jobs by htcondor2.

    python condor.py RELEASE FOLDER first           seconds from nothing to the result of a first job
    python condor.py RELEASE FOLDER many JOBS       seconds that so many short jobs take
    python condor.py RELEASE FOLDER named JOBS      the same, of jobs that name their outputs and so start sooner
    python condor.py RELEASE FOLDER queue JOBS      seconds of a projected query of so many idle jobs

RELEASE is where the daemons are; FOLDER is new. Only tokens open anything, as in ours; nothing is looked after once it runs.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

POOL = "byhand"
NOBODY = 65534
CODE = "print(sum(range(1000)))"

COMMON = """
RELEASE_DIR = {release}
BIN = $(RELEASE_DIR)/bin
SBIN = $(RELEASE_DIR)/sbin
LIB = $(RELEASE_DIR)/lib
LIBEXEC = $(RELEASE_DIR)/libexec
LOG = $(LOCAL_DIR)/log
SPOOL = $(LOCAL_DIR)/spool
EXECUTE = $(LOCAL_DIR)/execute
LOCK = $(LOCAL_DIR)/lock
RUN = $(LOCAL_DIR)/run
LOCAL_CONFIG_FILE =
LOCAL_CONFIG_DIR =
CONDOR_HOST = 127.0.0.1
COLLECTOR_HOST = 127.0.0.1:{port}
NETWORK_INTERFACE = 127.0.0.1
UID_DOMAIN = {pool}
TRUST_DOMAIN = {pool}
FILESYSTEM_DOMAIN = $(LOCAL_DIR)
use security:{security}
SEC_DEFAULT_AUTHENTICATION_METHODS = IDTOKENS
SEC_TOKEN_SYSTEM_DIRECTORY = $(SEC_TOKEN_DIRECTORY)
ALLOW_READ = *@{pool}
ALLOW_WRITE = *@{pool}
ALLOW_DAEMON = condor@{pool}
ALLOW_NEGOTIATOR = condor@{pool}
ALLOW_ADMINISTRATOR = condor@{pool}
ALLOW_ADVERTISE_SCHEDD = condor@{pool}
ALLOW_ADVERTISE_MASTER = condor@{pool} worker@{pool}
ALLOW_ADVERTISE_STARTD = condor@{pool} worker@{pool}
UPDATE_INTERVAL = 5
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_MIN_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
SCHEDD_INTERVAL = 2
SCHEDD_MIN_INTERVAL = 1
POLLING_INTERVAL = 2
RUNBENCHMARKS = 0
DISCARD_SESSION_KEYRING_ON_STARTUP = False
DOCKER =
SINGULARITY =
"""

MANAGER = """
DAEMON_LIST = MASTER COLLECTOR NEGOTIATOR SCHEDD
SHARED_PORT_PORT = {port}
SCHEDD_NAME = schedd@{pool}
MASTER_NAME = manager@{pool}
SEC_PASSWORD_DIRECTORY = {folder}/keys
SEC_TOKEN_POOL_SIGNING_KEY_FILE = {folder}/keys/POOL
SEC_TOKEN_DIRECTORY = {folder}/tokens-condor
"""

WORKER = """
DAEMON_LIST = MASTER STARTD
SHARED_PORT_PORT = 0
STARTD_NAME = {name}@{pool}
MASTER_NAME = {name}@{pool}
SEC_TOKEN_DIRECTORY = {folder}/tokens-worker
NUM_CPUS = 1
MEMORY = 512
NUM_SLOTS_TYPE_1 = 1
SLOT_TYPE_1 = 100%
SLOT_TYPE_1_PARTITIONABLE = True
"""

CLIENT = """
SEC_TOKEN_DIRECTORY = {folder}/tokens-user
"""


@contextmanager
def pool(release: Path, folder: Path, workers: int = 2) -> Iterator[None]:
    """Run a pool; its daemons end with the block. This process is its client, if it has not imported the bindings before."""
    # HTCondor wants an ordinary user; root's daemons would want accounts for the jobs.
    account = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    names = ["manager", *(f"w{number}" for number in range(1, workers + 1))]
    places = {"release": release, "folder": folder, "pool": POOL, "port": free_port(), "security": recommended(release)}
    write(folder, names, places)
    own(folder, account)
    for identity in ("condor", "worker", "user"):
        token(release, folder, identity, account)
    masters = [start(release, folder, name, account) for name in names]
    try:
        os.environ["CONDOR_CONFIG"] = str(folder / "client.conf")
        yield
    finally:
        for master in masters:
            master.send_signal(signal.SIGQUIT)  # fast
        for master in masters:
            master.wait(60)


def write(folder: Path, names: list[str], places: Mapping[str, Any]) -> None:
    (folder / "keys").mkdir(0o700)
    (folder / "keys" / "POOL").write_bytes(secrets.token_bytes(64))
    (folder / "keys" / "POOL").chmod(0o600)
    for identity in ("condor", "worker", "user"):
        (folder / f"tokens-{identity}").mkdir(0o700)
    for name in (*names, "client"):
        own = MANAGER if name == "manager" else CLIENT if name == "client" else WORKER
        for part in ("log", "spool", "execute", "lock", "run"):
            (folder / name / part).mkdir(parents=True)
        text = f"LOCAL_DIR = {folder / name}\n{COMMON}{own}".format(name=name, **places)
        (folder / f"{name}.conf").write_text(text)


def own(folder: Path, account: Mapping[str, Any]) -> None:
    """Give all of it to the account of the daemons; the client's token stays with who submits."""
    if account:
        for path in [folder, *folder.rglob("*")]:
            if path.name != "tokens-user":
                os.chown(path, NOBODY, NOBODY)


def token(release: Path, folder: Path, identity: str, account: Mapping[str, Any]) -> None:
    scopes = {"condor": (), "worker": ("ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ"), "user": ("READ", "WRITE")}[identity]
    command = [str(release / "bin" / "condor_token_create"), "-identity", f"{identity}@{POOL}"]
    command += [word for scope in scopes for word in ("-authz", scope)]
    made = subprocess.run(command, env=environment(folder, "manager"), stdout=subprocess.PIPE, check=True, **account)
    file = folder / f"tokens-{identity}" / "token"
    file.write_bytes(made.stdout)
    file.chmod(0o600)
    if account and identity != "user":
        os.chown(file, NOBODY, NOBODY)


def start(release: Path, folder: Path, name: str, account: Mapping[str, Any]) -> "subprocess.Popen[bytes]":
    command = [str(release / "sbin" / "condor_master"), "-f"]
    return subprocess.Popen(command, env=environment(folder, name), stdout=subprocess.DEVNULL, **account)


def environment(folder: Path, name: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "CONDOR_CONFIG": str(folder / f"{name}.conf")}


def recommended(release: Path) -> str:
    """The name of the recommended rules has changed."""
    version_of = [str(release / "bin" / "condor_version")]
    said = subprocess.run(version_of, env={"CONDOR_CONFIG": "ONLY_ENV"}, capture_output=True, text=True, check=True)
    version = [int(part) for part in said.stdout.split()[1].split(".")]
    return "recommended" if version >= [23, 10] else "recommended_v9_0"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


# -- jobs ---------------------------------------------------------------------------------------------------------------


def find_schedd() -> Any:
    """Return the queue as soon as it answers; for a moment it hangs up on those who come."""
    import htcondor2

    while True:
        with suppress(htcondor2.HTCondorException):
            schedd = htcondor2.Schedd(htcondor2.Collector().locate(htcondor2.DaemonType.Schedd, f"schedd@{POOL}"))
            schedd.query(projection=["ClusterId"], limit=1)
            return schedd
        time.sleep(0.05)


def submit(schedd: Any, folder: Path, count: int, **more: str) -> int:
    """Submit jobs of Python, each of which prints a number; return the number of their cluster."""
    import htcondor2

    description = {
        "executable": interpreter(),
        "arguments": f"\"-c '{CODE}'\"",
        "transfer_executable": "False",
        "output": f"{folder}/results/$(Process)",
        "should_transfer_files": "YES",
        "when_to_transfer_output": "ON_EXIT",
        "request_cpus": "1",
        "request_memory": "64",
        "request_disk": "1MB",
        **more,
    }
    (folder / "results").mkdir(exist_ok=True)
    submitted = schedd.submit(htcondor2.Submit(description), count=count, spool=True)
    schedd.spool(submitted)
    cluster: int = submitted.cluster()
    return cluster


def interpreter() -> str:
    """This one, unless it is root's own."""
    if os.geteuid() == 0:
        try:
            subprocess.run(
                [sys.executable, "-c", ""], user=NOBODY, group=NOBODY, extra_groups=[], check=True, stderr=subprocess.DEVNULL
            )
        except (OSError, subprocess.CalledProcessError):
            return "/usr/bin/python3"
    return sys.executable


def results(schedd: Any, folder: Path, cluster: int, count: int) -> list[str]:
    """Wait for the jobs of a cluster, and read what they printed."""
    while True:
        jobs = schedd.query(constraint=f"ClusterId == {cluster}", projection=["JobStatus", "HoldReasonCode", "HoldReason"])
        held = [job["HoldReason"] for job in jobs if job["JobStatus"] == 5 and job["HoldReasonCode"] != 16]  # 16: files come in
        if held:
            raise SystemExit(held[0])
        if len(jobs) == count and all(job["JobStatus"] == 4 for job in jobs):
            break
        time.sleep(0.1)
    schedd.retrieve(f"ClusterId == {cluster}")
    return [(folder / "results" / str(number)).read_text() for number in range(count)]


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the daemons end with this process
    release, folder, what, count = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int((*sys.argv[4:], 1)[0])
    began = time.perf_counter()
    with pool(release, folder):
        schedd = find_schedd()
        if what == "first":
            assert results(schedd, folder, submit(schedd, folder, 1), 1) == ["499500\n"]
        elif what in ("many", "named"):
            named = {"transfer_output_files": '""'} if what == "named" else {}
            results(schedd, folder, submit(schedd, folder, 2), 2)  # the workers are there
            began = time.perf_counter()
            assert len(results(schedd, folder, submit(schedd, folder, count, **named), count)) == count
        else:
            import htcondor2

            held = {"executable": "/bin/true", "transfer_executable": "False", "request_cpus": "1000"}
            schedd.submit(htcondor2.Submit(held), count=count)
            projection = ["ClusterId", "ProcId", "JobStatus", "Owner", "QDate", "RequestCpus", "RequestMemory", "HoldReason", "Cmd"]
            began = time.perf_counter()
            assert len(schedd.query(projection=projection)) == count
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
