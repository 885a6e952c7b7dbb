"""Spark Connect sessions: the driver is a part of the cluster, and a process can have sessions with several."""

import atexit
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

from jupyter_dodas.errors import NotSupported
from jupyter_dodas.services.spark import driver

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["leave", "open_session", "session"]

_MODE: Final = "SPARK_CONNECT_MODE_ENABLED"
"""By this variable, functions such as `col` make columns for Connect sessions, or for classic ones: never for both at once."""


def session(address: str, token: str, settings: Mapping[str, str]) -> "SparkSession":
    """Open a new session.

    Parameters
    ----------
    address
        ``sc://localhost:port``, without the token: that stands in no address.

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
    return open_session(address, token, settings)


def open_session(address: str, token: str, settings: Mapping[str, str]) -> "SparkSession":
    """Open a session, whatever else there is in this process."""
    from pyspark.sql.connect.client import DefaultChannelBuilder
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    channel = DefaultChannelBuilder(address)
    channel.set(DefaultChannelBuilder.PARAM_TOKEN, token)
    os.environ[_MODE] = "1"
    builder = ConnectSession.builder.channelBuilder(channel)
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.create()
    # When a process ends, pyspark has the server forget its models, and for ten minutes would look for a server that has gone.
    # Left alone, the server forgets a session by itself.
    atexit.unregister(session.client._on_exit)  # noqa: SLF001
    return cast("SparkSession", session)


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
