"""The configuration of HTCondor's daemons and commands, as text. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jupyter_dodas.services.htcondor.daemons import Daemons
from jupyter_dodas.services.htcondor.tokens import DAEMON, KEY, USER, WORKER

__all__ = ["FOREVER", "MEMORY_EXCEEDED", "OVERDUE", "Pool", "client", "manager", "worker"]

FOREVER: Final = 315_360_000
"""Seconds that a job may finish in when its worker is to go; who asks for less says so."""

MEMORY_EXCEEDED: Final = 102
"""Subcode of a job that is held since it used more memory than it had asked for; HTCondor's own policy has this one."""
OVERDUE: Final = 103
"""Subcode of a job that is held since it ran for longer than the pool allows."""

_POLICY_HOLD: Final = 26  # HTCondor's code for what SYSTEM_PERIODIC_HOLD holds
_LEASE: Final = 40
"""Seconds after which a job of a worker that says nothing is given to another, and for which a manager may be away."""

_USUAL_LEASE: Final = 2400
"""What it is where nobody has said anything; whoever submits writes it into a job, so that only the queue can change it."""


@dataclass(frozen=True)
class Pool:
    """What everybody in a pool has to know.

    Parameters
    ----------
    domain
        Its domain of trust; see `tokens.domain`.
    manager
        Where its manager is: ``host:port``.
    daemons
        Those of this machine.
    folder
        Where this instance keeps its files.
    interface
        The address that it listens on; ``*`` for all.
    """

    domain: str
    manager: str
    daemons: Daemons
    folder: Path
    interface: str


def manager(pool: Pool, port: int, flocks: Path, job_deadline: float | None = None) -> str:
    """Return what the daemons of a manager read.

    Parameters
    ----------
    flocks
        A folder with more files of configuration: of the pools that jobs may go to.
    """
    domain = pool.domain
    holds = (
        ""
        if job_deadline is None
        else f"""\
SYSTEM_PERIODIC_HOLD_NAMES = OVERDUE
SYSTEM_PERIODIC_HOLD_OVERDUE = JobStatus == 2 && time() - JobCurrentStartDate > {job_deadline:.0f}
SYSTEM_PERIODIC_HOLD_OVERDUE_REASON = "The job ran for longer than the {job_deadline:g} seconds that this pool allows."
SYSTEM_PERIODIC_HOLD_OVERDUE_SUBCODE = {OVERDUE}
"""
    )
    return f"""\
{_common(pool)}
LOCAL_CONFIG_DIR = {flocks}
DAEMON_LIST = MASTER COLLECTOR NEGOTIATOR SCHEDD
SHARED_PORT_PORT = {port}
MASTER_NAME = manager@{domain}
SCHEDD_NAME = schedd@{domain}
COLLECTOR_NAME = {domain}
SEC_PASSWORD_DIRECTORY = {pool.folder}/keys
SEC_TOKEN_POOL_SIGNING_KEY_FILE = {pool.folder}/keys/{KEY}
QUEUE_SUPER_USERS = {DAEMON}

NEGOTIATOR_INTERVAL = 1
NEGOTIATOR_MIN_INTERVAL = 0
NEGOTIATOR_CYCLE_DELAY = 0
NEGOTIATOR_CONSIDER_PREEMPTION = False
SCHEDD_INTERVAL = 5
SCHEDD_MIN_INTERVAL = 0
JOB_START_DELAY = 0
SHADOW_QUEUE_UPDATE_INTERVAL = 10
PERIODIC_EXPR_INTERVAL = 5
RECONNECT_BACKOFF_CEILING = 5
CLAIM_WORKLIFE = 1200
JOB_TRANSFORM_NAMES = LEASE
JOB_TRANSFORM_LEASE @=end
   REQUIREMENTS JobLeaseDuration =?= undefined || JobLeaseDuration == {_USUAL_LEASE}
   SET JobLeaseDuration {_LEASE}
@end
{holds}"""


def worker(
    pool: Pool, name: str, port: int, cores: int, memory: int, gpus: int = 0, variables: Mapping[str, str] | None = None
) -> str:
    """Return what the daemons of a worker read.

    Parameters
    ----------
    memory
        Bytes that its jobs can have.
    variables
        Environment of its jobs.
    """
    return f"""\
{_common(pool)}
LOCAL_CONFIG_DIR =
DAEMON_LIST = MASTER STARTD
SHARED_PORT_PORT = {port}
MASTER_NAME = {name}@{pool.domain}
STARTD_NAME = {name}@{pool.domain}
SEC_PASSWORD_DIRECTORY = {pool.folder}/keys
SEC_TOKEN_POOL_SIGNING_KEY_FILE = {pool.folder}/keys/{KEY}

NUM_CPUS = {cores}
MEMORY = {memory // 2**20}
SLOT_TYPE_1 = 100%
SLOT_TYPE_1_PARTITIONABLE = True
NUM_SLOTS = 1
NUM_SLOTS_TYPE_1 = 1
{"use FEATURE:GPUs" if gpus else "STARTD_DETECT_GPUS = False"}

START = True
SUSPEND = False
CONTINUE = True
WANT_SUSPEND = False
WANT_VACATE = True
KILL = False
PREEMPT = False
MAXJOBRETIREMENTTIME = {FOREVER}
HOLD_REASON_MEMORY_EXCEEDED = The job used more memory than the $INT(Memory) MiB that it had asked for.
use POLICY:HOLD_IF_MEMORY_EXCEEDED

STARTER_ALLOW_RUNAS_OWNER = False
STARTER_INITIAL_UPDATE_INTERVAL = 2
STARTER_UPDATE_INTERVAL = 5
PID_SNAPSHOT_INTERVAL = 3
STARTER_JOB_ENVIRONMENT = {_environment(variables or {})}
"""


def client(domain: str, manager: str, tokens: Path, daemons: Daemons | None = None) -> str:
    """Return what commands read that somebody runs who has a token.

    Parameters
    ----------
    tokens
        A private folder with the token.
    """
    lines = {
        **({} if daemons is None else _release(daemons)),
        **_trust(domain, tokens),
        "COLLECTOR_HOST": manager,
        "CONDOR_HOST": manager.rpartition(":")[0],
        "SCHEDD_HOST": f"schedd@{domain}",
        "LOCAL_CONFIG_FILE": "",
        "LOCAL_CONFIG_DIR": "",
        "CONDOR_IDS": "0.0",  # which only root's commands look at: they are not to become somebody else
    }
    return _written(lines)


def _common(pool: Pool) -> str:
    domain, daemon = pool.domain, f"{DAEMON}@{pool.domain}"
    folders = {name: f"{pool.folder}/{name.lower()}" for name in ("LOG", "SPOOL", "EXECUTE", "LOCK", "RUN")}
    return _written(
        {
            **_release(pool.daemons),
            "LOCAL_DIR": pool.folder,
            **folders,
            "LOCAL_CONFIG_FILE": "",
            "CONDOR_HOST": pool.manager.rpartition(":")[0],
            "COLLECTOR_HOST": pool.manager,
            "NETWORK_INTERFACE": pool.interface,
            **_trust(domain, pool.folder / "tokens"),
            "ALLOW_READ": f"*@{domain}",
            "ALLOW_WRITE": f"{USER}@{domain} {daemon}",
            "ALLOW_ADMINISTRATOR": daemon,
            "ALLOW_DAEMON": daemon,
            "ALLOW_NEGOTIATOR": daemon,
            "ALLOW_ADVERTISE_MASTER": f"{daemon} {WORKER}@{domain}",
            "ALLOW_ADVERTISE_STARTD": f"{daemon} {WORKER}@{domain}",
            "ALLOW_ADVERTISE_SCHEDD": f"{daemon} flock-*@{domain}",
            "ALLOW_CONFIG": "",
            # Quick cycles: it is a pool of one user, and she waits for it.
            "UPDATE_INTERVAL": 5,
            "MASTER_UPDATE_INTERVAL": 5,
            "CLASSAD_LIFETIME": 60,
            "POLLING_INTERVAL": 2,
            "MASTER_BACKOFF_CONSTANT": 1,
            "MASTER_BACKOFF_CEILING": 10,
            "MASTER_NEW_BINARY_RESTART": "NEVER",
            "RUNBENCHMARKS": 0,
            "PREEN": "",
            "MAIL": "",
            "CONDOR_ADMIN": "",
            "DOCKER": "",
            "SINGULARITY": "/bin/false",
            "JAVA": "",  # which a worker would start to see what it can, before it is ready
            "HIBERNATION_PLUGIN": "",
            "DISCARD_SESSION_KEYRING_ON_STARTUP": False,
            # Those for clouds are scripts that want libraries; every job would wait for them.
            "FILETRANSFER_PLUGINS": "$(LIBEXEC)/curl_plugin, $(LIBEXEC)/data_plugin",
            "MAX_DEFAULT_LOG": "2 Mb",
        }
    )


def _release(daemons: Daemons) -> dict[str, object]:
    return {
        "RELEASE_DIR": daemons.root,
        "BIN": daemons.bin,
        "SBIN": daemons.sbin,
        "LIB": daemons.lib,
        "LIBEXEC": daemons.libexec,
        "SHARE": daemons.root / "share" / "condor",
    }


def _trust(domain: str, tokens: Path) -> dict[str, object]:
    """Have nothing but tokens of the pool, for everything, and nothing in the clear."""
    return {
        "UID_DOMAIN": domain,
        "TRUST_DOMAIN": domain,
        "SEC_DEFAULT_AUTHENTICATION": "REQUIRED",
        "SEC_DEFAULT_ENCRYPTION": "REQUIRED",
        "SEC_DEFAULT_INTEGRITY": "REQUIRED",
        "SEC_CLIENT_AUTHENTICATION": "REQUIRED",
        "SEC_CLIENT_ENCRYPTION": "REQUIRED",
        "SEC_CLIENT_INTEGRITY": "REQUIRED",
        "SEC_DEFAULT_AUTHENTICATION_METHODS": "IDTOKENS",
        "SEC_CLIENT_AUTHENTICATION_METHODS": "IDTOKENS",
        "SEC_TOKEN_DIRECTORY": tokens,
        "SEC_TOKEN_SYSTEM_DIRECTORY": tokens,
    }


def _written(lines: Mapping[str, object]) -> str:
    return "".join(f"{name} = {value}\n" for name, value in lines.items())


def _environment(variables: Mapping[str, str]) -> str:
    """Write an environment as a job has it. What would not come through as it is stays out."""
    return '"' + " ".join(_items(variables)) + '"'


def _items(variables: Mapping[str, str]) -> Iterable[str]:
    for name, value in variables.items():
        if value.isprintable():
            escaped = value.replace("'", "''").replace('"', '""').replace("$", "$(DOLLAR)")
            yield f"{name}='{escaped}'"
