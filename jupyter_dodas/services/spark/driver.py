"""The driver's Java of this process: there is one, it is started ahead of the first session, and sessions follow one another in it.

pyspark would start it by way of three other processes, and write the settings of a session, secrets among them, on a command line.
"""

import os
import shlex
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from logging import getLogger
from typing import IO, TYPE_CHECKING, Any, Final

from jupyter_dodas.errors import LaunchFailed
from jupyter_dodas.services.spark import archive
from jupyter_dodas.services.spark.java import PATIENT, command, environment, find_java, find_spark, sharing

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

__all__ = ["CLUSTER", "Driver", "active", "create", "end", "ensure", "kill", "release", "shared", "start"]

logger = getLogger(__name__)

CLUSTER: Final = "spark.dodas.cluster"
"""The setting that tells to which cluster a session belongs."""

_starting = threading.Lock()


@dataclass(frozen=True)
class Driver:
    """What a driver's Java is started with, and keeps.

    Parameters
    ----------
    memory
        Bytes of its heap.
    """

    host: str = "127.0.0.1"
    memory: int = 2**30
    packages: tuple[str, ...] = ()


def active() -> "SparkContext | None":
    """Return the context of this process, if there is one and it has not been stopped."""
    from pyspark import SparkContext

    context: SparkContext | None = SparkContext._active_spark_context  # noqa: SLF001 - there is no other way to look
    if context is None:
        return None
    if not _lives() or context._jsc is None or context._jsc.sc().isStopped():  # noqa: SLF001
        _forget()
        return None
    return context


def ensure(driver: Driver) -> None:
    """See that there is a Java for drivers, with what is asked for unless a session is using another.

    Raises
    ------
    MissingSoftware, LaunchFailed
    """
    from pyspark import SparkContext

    with _starting:
        if SparkContext._gateway is not None:  # noqa: SLF001
            if _lives() and (active() is not None or _started_with() in (None, driver)):
                return
            end()
        start(driver)


def create(settings: Mapping[str, str], python: str) -> "SparkSession":
    """Make a session. `ensure` comes before it.

    Parameters
    ----------
    python
        The interpreter of executors.
    """
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    # Given to Java directly: it stands on no command line. Values of an earlier session are in no way of these.
    conf = SparkConf(loadDefaults=True, _jvm=SparkContext._jvm)  # noqa: SLF001
    for name, value in settings.items():
        conf.set(name, value)
    with _environment({"PYSPARK_PYTHON": os.environ.get("PYSPARK_PYTHON", python)}):
        return SparkSession(SparkContext(conf=conf))


def shared() -> str | None:
    """Return the class-data archive that executors can use as well, if it has been made."""
    return archive.find(find_java(os.environ), find_spark())


def start(driver: Driver, *, options: Sequence[str] | None = None) -> None:
    """Start Java, with what pyspark would have it start; the session's settings come later."""
    from pyspark import SparkContext
    from pyspark.java_gateway import launch_gateway

    java, spark = find_java(os.environ), find_spark()
    if options is None:
        options = [*PATIENT, *sharing(archive.find(java, spark))]
    program, *arguments = command(
        *(java, spark, "org.apache.spark.deploy.SparkSubmit"),
        *(["--packages", ",".join(driver.packages)] if driver.packages else []),
        "pyspark-shell",
        options=[f"-Xmx{driver.memory // 2**20}m", "-Dderby.connection.requireAuthentication=false", *options],
    )
    said: deque[str] = deque(maxlen=60)
    read, write = os.pipe()
    threading.Thread(target=_pass_on, args=(os.fdopen(read, encoding="utf-8", errors="replace"), said), daemon=True).start()
    ours = {
        **environment(java, spark, driver.host, {}),
        # In place of its start script, pyspark starts this program; the name of the script goes where programs have their own.
        "PYSPARK_SUBMIT_ARGS": shlex.join(arguments),
    }
    try:
        with _environment(ours):
            gateway = launch_gateway(popen_kwargs={"executable": program, "stderr": write})  # type: ignore[no-untyped-call]
    except Exception as error:
        raise _failed(driver, said) from error
    finally:
        os.close(write)
    gateway.dodas = driver
    SparkContext._gateway, SparkContext._jvm = gateway, gateway.jvm  # noqa: SLF001


def _pass_on(stream: IO[str], said: deque[str]) -> None:
    """Show what Java writes where the user looks, and remember the end of it."""
    with stream:
        for line in stream:
            said.append(line.rstrip())
            sys.stderr.write(line)


def _failed(driver: Driver, said: Sequence[str]) -> LaunchFailed:
    telling = [line.strip() for line in said if "unresolved dependency" in line or "Exception" in line or "Error" in line]
    return LaunchFailed(
        "The driver's Java did not start",
        cause=(telling or list(said) or ["It wrote nothing."])[0],
        remedy=f"See whether Maven Central has {', '.join(driver.packages)}." if driver.packages else "",
    )


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Change variables for a moment: pyspark hands things on in no other way. None of them is a secret."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _process() -> Any:
    from pyspark import SparkContext

    return getattr(SparkContext._gateway, "proc", None)  # noqa: SLF001


def _lives() -> bool:
    process = _process()
    return process is None or process.poll() is None


def _started_with() -> Driver | None:
    """Tell what Java was started with; None if the user started it."""
    from pyspark import SparkContext

    return getattr(SparkContext._gateway, "__dict__", {}).get("dodas")  # noqa: SLF001 - other names are looked up in Java


def end(within: float = 10.0) -> None:
    """End a Java that no session uses, and wait until it has ended.

    Parameters
    ----------
    within
        Seconds.
    """
    from pyspark import SparkContext

    process, gateway = _process(), SparkContext._gateway  # noqa: SLF001
    if gateway is not None and process is not None and process.poll() is None:
        gateway.shutdown()
        process.stdin.close()
        process.wait(within)
    _forget()
    SparkContext._gateway = SparkContext._jvm = None  # noqa: SLF001


def release() -> None:
    """End a Java that was started ahead and that no session uses."""
    from pyspark import SparkContext

    with _starting:
        if SparkContext._gateway is not None and _started_with() is not None and active() is None:  # noqa: SLF001
            end()


def kill() -> None:
    """End Java at once, if it has not ended."""
    process = _process()
    if process is not None:
        process.kill()
        process.wait()
    _forget()


def _forget() -> None:
    """Have pyspark forget a context whose Java has ended or which was stopped from there."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    SparkContext._active_spark_context = None  # noqa: SLF001
    SparkSession._instantiatedSession = None  # noqa: SLF001
    if not _lives():
        SparkContext._gateway = SparkContext._jvm = None  # noqa: SLF001
