"""What a user holds of a Spark cluster: all that any cluster can, and sessions.

Importing this is cheap: pyspark comes with the first session, or with `SparkCluster.warm`.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from logging import getLogger
from typing import TYPE_CHECKING, Any

from jupyter_dodas import aio, blocking
from jupyter_dodas.errors import LaunchFailed, NotSupported
from jupyter_dodas.options import Options, validate
from jupyter_dodas.services.spark import conf, credentials, folders
from jupyter_dodas.services.spark.options import SparkOptions
from jupyter_dodas.spec import LIVE, Record

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

__all__ = ["SparkCluster"]

logger = getLogger(__name__)


class SparkCluster(aio.Cluster):
    """A Spark cluster."""

    @classmethod
    def warm(cls, asked: Options, here: str | None) -> None:
        """Import what `session` needs and start the driver's Java: seconds of computing, to be spent while the cluster starts.

        Parameters
        ----------
        asked
            The options of the cluster. With a Connect server, its driver is a part of it, and none is started here.
        here
            The address of the driver.
        """
        options = asked if isinstance(asked, SparkOptions) else SparkOptions()
        if options.connect:
            import pyspark.sql.connect.session  # noqa: F401
        elif here is not None:
            from jupyter_dodas.services.spark import driver

            with suppress(LaunchFailed):  # a package that is not to be had, for one: `session` says so to whoever wants one
                driver.ensure(driver.Driver(here, int(options.driver_memory), options.packages))

    async def session(self, **settings: Any) -> "SparkSession":
        """Return a session whose executors run in this cluster; the same one if this process has it already.

        On a cluster launched with ``connect=True``, or from where its executors cannot reach this process, it is a Spark Connect
        session, of which a process can have several; otherwise a classic one, with its driver in this process, of which it can
        have one.

        Parameters
        ----------
        **settings
            Settings of Spark, beside those that the cluster was launched with.

        Raises
        ------
        NotSupported
            If this process has a classic session with another cluster, or cannot be reached by executors and there is no Connect
            server.
        InvalidOption, MissingSoftware, LaunchFailed, ClusterFailed
        """
        return await asyncio.to_thread(self.blocking_session, **settings)

    def blocking_session(self, **settings: Any) -> "SparkSession":
        """See `session`; in the caller's own thread, since threads have Spark's jobs and properties."""
        record, connection = blocking.run(self.record), self.connection_now()
        options = validate(SparkOptions, self.kind, record.spec.options)
        given = {name: _text(value) for name, value in settings.items()}
        conf.check_given(given, options.all_groups())
        if options.connect:
            from jupyter_dodas.services.spark import connect

            token = credentials.read(connection.secrets)[credentials.TOKEN]
            return self._shown(connect.session(self._uid, connection.addresses["connect"], token, given))
        if (here := self._backend.here) is None:
            raise _apart(self.name)
        return self._shown(self._classic(record, options, connection, here, given))

    def _shown(self, session: "SparkSession") -> "SparkSession":
        """Show below cells what it does for a session; nothing depends on that."""
        if self._may_show_work():
            from jupyter_dodas.services.spark import work

            try:
                if (observer := work.observer(session)) is not None:
                    self._show_work(observer)
            except Exception:
                logger.debug("The work of %r will not be shown", self.name, exc_info=True)
        return session

    async def client(self) -> "SparkSession":
        """See `session`."""
        return await self.session()

    def blocking_client(self) -> "SparkSession":
        """See `session`."""
        return self.blocking_session()

    async def stop(self, *, timeout: float = 60) -> Any:
        """See `aio.Cluster.stop`. Sessions of this process end first, and a classic one finishes its event log."""
        await self._settle()
        await asyncio.to_thread(_end_sessions, self._uid)
        return await super().stop(timeout=timeout)

    def _classic(
        self, record: Record, options: SparkOptions, connection: aio.Connection, here: str, given: Mapping[str, str]
    ) -> "SparkSession":
        from pyspark.sql import SparkSession

        from jupyter_dodas.services.spark import connect, driver

        connect.leave()
        # Ports and secrets are new after a restart, and so must be the session.
        identity = f"{record.spec.uid}.{record.status.restarts}"
        context = driver.active()
        if context is not None and (held := context.getConf().get(driver.CLUSTER)) != identity:
            if held is None or blocking.run(self._runs, held):
                raise _second(self.name, context)
            context.stop()  # its cluster has gone
            context = None
        if context is not None:
            session = SparkSession(context)
            for name, value in given.items():
                session.conf.set(name, value)
            return session
        driver.ensure(driver.Driver(here, int(options.driver_memory), options.packages))
        settings = {
            **conf.of_applications(self.name, options),
            "spark.eventLog.dir": folders.history().as_uri(),
            **options.configuration,
            **given,
        }
        executor = "spark.executor.extraJavaOptions"
        settings |= {
            **{name: value for name, value in credentials.read(connection.secrets).items() if name not in _NOT_FOR_DRIVERS},
            **conf.encryption(here),
            executor: conf.executor_options(driver.shared(), settings.get(executor, "")),
            "spark.master": connection.addresses["master"],
            "spark.driver.host": here,
            "spark.driver.bindAddress": here,
            driver.CLUSTER: identity,
        }
        return driver.create(settings, options.environment.python or "python3")

    async def _runs(self, identity: str) -> bool:
        """Whether there is still the cluster of a session, with the processes that the session knows."""
        uid, _, restarts = identity.partition(".")
        return any(
            record.spec.uid == uid and str(record.status.restarts) == restarts and record.status.phase in LIVE
            for record in await self._backend.store.list()
        )


_NOT_FOR_DRIVERS = frozenset({credentials.TOKEN, credentials.CORES})


def _text(value: object) -> str:
    """Write a value as Spark reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _second(name: str, context: "SparkContext") -> NotSupported:
    return NotSupported(
        f"This process has a classic Spark session already, so it cannot have one with {name!r}",
        cause=f"The session {context.appName!r} uses {context.master}, and pyspark has one for each process.",
        remedy=(
            "End that one with its stop(), or launch this cluster with connect=True: "
            "a process can have several Spark Connect sessions."
        ),
    )


def _apart(name: str) -> NotSupported:
    return NotSupported(
        f"This process cannot have a session with {name!r}, which was launched without a Connect server",
        cause="The driver of a classic session would be here, where its executors cannot reach it.",
        remedy="Use it from a notebook that runs beside it, or launch it with connect=True, as a launch from here does by itself.",
    )


def _end_sessions(uid: str) -> None:
    """Stop the sessions of this process that belong to a cluster; without importing pyspark for that."""
    import sys

    if "pyspark" not in sys.modules:
        return
    from jupyter_dodas.services.spark import connect, driver

    connect.end(uid)
    context = driver.active()
    if context is not None and (context.getConf().get(driver.CLUSTER) or "").partition(".")[0] == uid:
        context.stop()
