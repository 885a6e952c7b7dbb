"""The settings of a cluster's applications: what this project decides, and what of it a user may not change."""

import re
from collections.abc import Mapping
from typing import Final

from pydantic_core import PydanticCustomError

from jupyter_dodas.errors import InvalidOption
from jupyter_dodas.options import GroupOptions
from jupyter_dodas.options import Options as CommonOptions
from jupyter_dodas.services.spark.java import PATIENT, sharing

__all__ = ["OF_CONNECT", "OVERHEAD", "check_asked", "check_given", "encryption", "executor_options", "of_applications", "size"]

OVERHEAD: Final = 512 * 2**20
"""The least that an executor runs in: Spark keeps 300 MiB for itself and insists on half as much again."""

_OURS: Final = re.compile(
    r"spark\.(?:"
    r"authenticate|acls|admin|modify|history\.ui\.acls|user\.groups|ssl|network\.(?:crypto|sasl)|connect\.authenticate|redaction"
    r"|ui\.(?:filters|acls|view|killEnabled|reverseProxy|allowFramingFrom)|org\.apache\.spark\.ui"
    r"|master$|submit\.deployMode|driver\.(?:host|bindAddress)|remote$|api\.mode|deploy|worker|dodas"
    r")"
)
"""Settings that decide who may do what, or where things are."""

_SECRET: Final = re.compile(r"secret|password|token|access[.]?key", re.IGNORECASE)
"""Names that Spark itself hides the values of."""

OF_CONNECT: Final[Mapping[str, str]] = {
    # How often a client hears of its tasks; by default every two seconds.
    "spark.connect.progress.reportInterval": "300ms",
    # Each session has a working folder of its own, where Python would look for the socket, which Java makes in another one.
    "spark.python.unix.domain.socket.enabled": "false",
}
"""Settings of Connect servers, beside those of every application."""

_CORRECT: Final = "leave the setting out, or correct it"

_EXECUTOR_MEMORY: Final = "spark.executor.memory"
_UNITS: Final = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}


def check_asked(settings: Mapping[str, str], workers: Mapping[str, GroupOptions]) -> None:
    """Judge the settings of an option, which are kept in the record.

    Raises
    ------
    PydanticCustomError
    """
    for name in settings:
        if _SECRET.search(name):
            raise PydanticCustomError(
                "secret", f"{name} looks like a secret, and records are no place for one; give it to session()"
            )
    if wrong := _wrong(settings, workers):
        raise PydanticCustomError("configuration", "; ".join(filter(None, wrong)))


def check_given(settings: Mapping[str, str], workers: Mapping[str, GroupOptions]) -> None:
    """Judge the settings that are given for one session.

    Raises
    ------
    InvalidOption
    """
    if wrong := _wrong(settings, workers):
        why, remedy = wrong
        raise InvalidOption("The session cannot have these settings", cause=_sentence(why), remedy=_sentence(remedy or _CORRECT))


def _sentence(words: str) -> str:
    # What begins with the name of a setting stays as it is.
    return f"{words if words.startswith('spark.') else words[0].upper() + words[1:]}."


def _wrong(settings: Mapping[str, str], workers: Mapping[str, GroupOptions]) -> tuple[str, str] | None:
    """Say what is wrong with settings, and what to do if that is not to be guessed; None if they will do."""
    for name, value in settings.items():
        if not re.fullmatch(r"spark\.[^\s=]+", name):
            return f"{name!r} is no setting of Spark: they begin with 'spark.' and have no spaces", ""
        if "\n" in value:
            return f"the value of {name} has more than one line", ""
        if _OURS.match(name):
            return f"{name} is set by the cluster, which sees to addresses and authentication", ""
    if (asked := settings.get(_EXECUTOR_MEMORY)) is not None:
        most = min(int(group.memory) for group in workers.values())
        wanted = size(asked)
        if wanted is None:
            return f"{_EXECUTOR_MEMORY}={asked} is no size such as '2g'", ""
        if wanted > most:
            return f"executors of {asked} do not fit into workers of {most // 2**20}m", "launch the cluster with more memory"
    if (asked := settings.get("spark.executor.cores")) is not None:
        cores = min(group.cores for group in workers.values())
        if not asked.isdecimal() or not 1 <= int(asked) <= cores:
            return f"executors of {asked} cores do not fit into workers of {cores}", "launch the cluster with more cores"
    return None


def size(text: str) -> int | None:
    """Return the bytes that Spark understands: ``2g``, ``512m``, ``512mb``; None if it does not."""
    found = re.fullmatch(r"(\d+)([bkmgtp]?)b?", text.strip().lower())
    # Without a unit Spark takes it for MiB.
    return int(found[1]) * (_UNITS[found[2]] if found[2] or text.strip().lower().endswith("b") else 2**20) if found else None


def of_applications(name: str, options: CommonOptions) -> dict[str, str]:
    """Return what every application of a cluster is configured with, before the user's own settings.

    Parameters
    ----------
    name
        The name of the cluster.
    """
    groups = options.all_groups().values()
    settings = {
        "spark.app.name": name,
        # One executor in each worker takes all of it; where workers differ, the smallest decides.
        _EXECUTOR_MEMORY: f"{min(int(group.memory) for group in groups) // 2**20}m",
        "spark.decommission.enabled": "true",
        "spark.storage.decommission.enabled": "true",
        "spark.storage.decommission.rddBlocks.enabled": "true",
        "spark.storage.decommission.shuffleBlocks.enabled": "true",
        # An executor that retires looks this often whether all that it holds has been moved; by default every 30 seconds.
        "spark.storage.decommission.replicationReattemptInterval": "1s",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        # Python and Java talk by sockets in the file system: nobody else can connect, and no name has to be resolved.
        "spark.python.unix.domain.socket.enabled": "true",
        # In a notebook the bars would be a screenful of old lines.
        "spark.ui.showConsoleProgress": "false",
        "spark.ui.port": "0",
        "spark.ui.killEnabled": "false",
        "spark.ui.reverseProxy": "true",
        "spark.eventLog.enabled": "true",
        # One file, which other programs can read, instead of a folder of compressed ones.
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.compress": "false",
    }
    if any(group.adapt for group in groups):
        settings |= {
            "spark.dynamicAllocation.enabled": "true",
            "spark.dynamicAllocation.shuffleTracking.enabled": "true",
            "spark.dynamicAllocation.executorIdleTimeout": "10s",
            # What it has written for others to read is moved when it goes; without this, it would stay for as long as the driver.
            "spark.dynamicAllocation.shuffleTracking.timeout": "30s",
        }
    return settings


def encryption(host: str) -> Mapping[str, str]:
    """Return what a process is configured with, so that nobody reads its connections on the way: nothing on the loopback interface.

    Parameters
    ----------
    host
        The address at which others reach it. All processes of a cluster have one of the same kind.
    """
    if host.startswith("127."):
        return {}
    # Without the second, whoever does not encrypt is let in as well, if they know the secret.
    return {"spark.network.crypto.enabled": "true", "spark.network.crypto.saslFallback": "false"}


def executor_options(archive: str | None, own: str) -> str:
    """Return the options of executors' Java: the class-data archive, and the user's own, which win."""
    # The folder that an executor works in is scratch of its worker. Libraries put files there that a killed Java leaves behind.
    return " ".join([*PATIENT, *sharing(archive), "-Djava.io.tmpdir=.", *([own] if own else [])])
