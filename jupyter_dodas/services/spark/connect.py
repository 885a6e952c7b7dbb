"""Spark Connect sessions: the driver is a part of the cluster, and a process can have sessions with several."""

import atexit
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast
from weakref import WeakKeyDictionary

from jupyter_dodas.errors import NotSupported
from jupyter_dodas.services.spark import driver

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.session import SparkSession as ConnectSession

__all__ = ["end", "leave", "open_session", "session"]

_MODE: Final = "SPARK_CONNECT_MODE_ENABLED"
"""By this variable, functions such as `col` make columns for Connect sessions, or for classic ones: never for both at once."""


_open: Final[WeakKeyDictionary["ConnectSession", str]] = WeakKeyDictionary()
"""Sessions of this process, and the clusters that they belong to."""


def session(cluster: str, address: str, token: str, settings: Mapping[str, str]) -> "SparkSession":
    """Open a new session.

    Parameters
    ----------
    cluster
        Whose session it is; see `end`.
    address
        ``sc://host:port``, without the token: that stands in no address.

    Raises
    ------
    NotSupported
        If this process has a classic session.
    """
    if (context := driver.active()) is not None:
        raise NotSupported(
            "This process has a classic Spark session, so it cannot have Spark Connect sessions",
            cause=f"pyspark's functions work for one kind at a time, and {context.appName!r} is a classic session.",
            remedy="End that one with its stop().",
        )
    driver.release()  # the driver is a part of the cluster
    opened = open_session(address, token, settings)
    _open[opened] = cluster
    return cast("SparkSession", opened)


def open_session(address: str, token: str, settings: Mapping[str, str]) -> "ConnectSession":
    """Open a session, whatever else there is in this process."""
    from pyspark.sql.connect.client import DefaultChannelBuilder
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    # On loopback pyspark sends a token as it is; to all others only by TLS, which a Connect server does not have.
    channel = DefaultChannelBuilder(address.replace("//127.0.0.1:", "//localhost:"))
    if channel.host == "localhost":
        channel.set(DefaultChannelBuilder.PARAM_TOKEN, token)
    else:
        channel.set("authorization", f"Bearer {token}")
    os.environ[_MODE] = "1"
    builder = ConnectSession.builder.channelBuilder(channel)
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.create()
    # When a process ends, pyspark has the server forget its models, and for ten minutes would look for a server that has gone.
    # Left alone, the server forgets a session by itself.
    atexit.unregister(session.client._on_exit)  # noqa: SLF001
    return session


def end(cluster: str) -> None:
    """Close the sessions of this process with a cluster that is about to end, and what they wait for."""
    for session, whose in list(_open.items()):
        if whose == cluster:
            session.release_session_on_close = False  # the server forgets them all in a moment, if it still answers
            session.stop()
            del _open[session]


def leave() -> None:
    """Make way for a classic session.

    Raises
    ------
    NotSupported
        If a Connect session is in use.
    """
    if _MODE not in os.environ:
        return
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    current = ConnectSession.getActiveSession()
    if current is not None and not current.is_stopped:
        raise NotSupported(
            "This process has a Spark Connect session, so it cannot have a classic one",
            cause="pyspark's functions work for one kind at a time.",
            remedy="End that one with its stop(), or launch this cluster with connect=True.",
        )
    del os.environ[_MODE]
