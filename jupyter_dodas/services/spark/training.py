"""Makes the class-data archive: ``python -m jupyter_dodas.services.spark.training [--shared]``.

One Java does what all processes of a cluster do: it is driver, master and worker, reads and writes, and serves pages. What only its
executor loads, it loads as well. When it ends, Java writes down the classes that it has.
"""

import fcntl
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jupyter_dodas.services.spark import archive, conf, connect, credentials, driver
from jupyter_dodas.services.spark.java import find_java, find_spark
from jupyter_dodas.services.spark.options import SparkOptions

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["main"]

_UNUSED: Final = 90 * 86400.0
"""Seconds after which an archive that nobody has used is removed: of another Java or Spark, probably."""

_ABANDONED: Final = 3600.0
"""Seconds after which nobody is still writing an archive."""

_ENDS: Final = 300.0

_UNSIGNED: Final = "jdk.jar.disabledAlgorithms=RSA, DSA, EC\n"
"""With this, Java takes signed libraries for unsigned ones. It leaves classes of signed libraries out of an archive, and Janino,
which compiles every query in every process, would be checked and loaded each time."""


def main(argv: Sequence[str] | None = None) -> int:
    """Make the archive, unless it is there or somebody else is making it; return the exit code."""
    parser = ArgumentParser(description="Make the class-data archive of Spark.")
    parser.add_argument("--shared", action="store_true", help="At once, and for everybody who has this interpreter: in an image.")
    shared = parser.parse_args(argv).shared
    if not shared:
        _behave()
    path = archive.path(find_java(os.environ), find_spark(), shared=shared)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(path) as alone:
        if alone and not path.exists():
            _sweep(path.parent)
            _make(path)
    if shared:
        print(path)  # noqa: T201 - for whoever lays it into the image
    return 0


def _behave() -> None:
    """Compute only when nobody else does."""
    os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass  # a file system without locks: two may make it, and the last one stays
        yield True
    finally:
        os.close(lock)


def _sweep(folder: Path) -> None:
    """Remove what nobody uses any more, and what those left behind who were ended in the middle."""
    for old in folder.glob("spark-*"):
        with suppress(FileNotFoundError):  # somebody else was quicker
            age = time.time() - old.stat().st_mtime
            if old.suffix == ".training" and age > _ABANDONED:
                shutil.rmtree(old)
            elif age > (_ABANDONED if old.suffix == ".part" else _UNUSED):
                old.unlink()


def _make(path: Path) -> None:
    part, folder = path.with_suffix(f".{os.getpid()}.part"), path.with_suffix(f".{os.getpid()}.training")
    folder.mkdir(mode=0o700)
    own, executors, security = folder / "own.log", folder / "executor.log", folder / "unsigned.security"
    security.write_text(_UNSIGNED, "utf-8")
    os.chdir(folder)
    try:
        options = [
            *(f"-XX:ArchiveClassesAtExit={part}", f"-Xlog:class+load:file={own}", "-Xlog:cds*=off"),
            f"-Djava.security.properties={security}",
        ]
        driver.start(driver.Driver(), options=options)
        _train(folder, executors)
        _load(_classes(executors) - _classes(own))
        driver.end(_ENDS)
        part.replace(path)
    finally:
        driver.kill()
        part.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def _train(folder: Path, log: Path) -> None:
    """Do a little of everything, in one process and then with master, worker and executor."""
    options = SparkOptions(memory=conf.OVERHEAD)
    (folder / credentials.FILE).write_bytes(credentials.issue(cores=1)[credentials.FILE])
    secrets = credentials.read(folder)
    common = {
        **conf.of_applications("training", options),
        **secrets,
        "spark.eventLog.dir": folder.as_uri(),
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": "0",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.executor.extraJavaOptions": f"-Xlog:class+load:file={log} -Djava.io.tmpdir=.",
    }
    for master in ("local[1]", f"local-cluster[1,1,{conf.OVERHEAD // 2**20}]"):
        session = driver.create({**common, "spark.master": master}, sys.executable)
        _work(session, folder / master.partition("[")[0])
        if master.startswith("local-cluster"):
            _look_at_pages(session, secrets)
            _serve(session, secrets)
        session.stop()


def _work(session: "SparkSession", folder: Path) -> None:
    session.range(1000).selectExpr("sum(id)").collect()
    session.sparkContext.parallelize(range(10), 2).map(lambda number: (number % 2, number)).groupByKey().count()
    frame = session.range(100).selectExpr("id", "id % 3 as part", "cast(id as double) as value", "cast(id as string) as name")
    frame.write.parquet(str(folder))
    frame.createOrReplaceTempView("frame")
    session.read.parquet(str(folder)).join(frame.select("id"), "id").groupBy("part").avg("value").orderBy("part").toPandas()
    session.sql("select part, count(*), max(name) from frame where value > 3 group by part").collect()


def _look_at_pages(session: "SparkSession", secrets: Mapping[str, str]) -> None:
    """Read pages as the controller does; the other pages are of the same classes."""
    address = session.sparkContext.uiWebUrl
    identifier = session.sparkContext.applicationId
    for page in ("executors", "stages?status=active"):
        request = urllib.request.Request(f"{address}/api/v1/applications/{identifier}/{page}")  # noqa: S310 - our own
        request.add_header("Authorization", credentials.bearer(secrets, time.time() + 60))
        with suppress(urllib.error.URLError), urllib.request.urlopen(request, timeout=20) as reply:  # noqa: S310
            reply.read()


def _serve(session: "SparkSession", secrets: Mapping[str, str]) -> None:
    """Be a Connect server."""
    jvm: Any = session.sparkContext._jvm  # noqa: SLF001
    service = getattr(getattr(jvm, "org.apache.spark.sql.connect.service.SparkConnectService$"), "MODULE$")
    service.start(session.sparkContext._jsc.sc())  # noqa: SLF001
    try:
        other = connect.open_session(f"sc://localhost:{service.localPort()}", secrets[credentials.TOKEN], {})
        other.range(1000).selectExpr("sum(id)").collect()
        other.stop()
    finally:
        service.stop(jvm.scala.Option.empty(), jvm.scala.Option.empty())


def _classes(log: Path) -> frozenset[str]:
    """Names of the classes that a Java loaded from Spark's libraries, as it logged them."""
    with log.open(encoding="utf-8", errors="replace") as lines:
        found = (re.search(r"\] (\S+) source: file:", line) for line in lines)
        return frozenset(name[1] for name in found if name and "0x" not in name[1])


def _load(names: frozenset[str]) -> None:
    from pyspark import SparkContext

    jvm: Any = SparkContext._jvm  # noqa: SLF001
    loader = jvm.java.lang.ClassLoader.getSystemClassLoader()
    for name in sorted(names):
        with suppress(Exception):  # one less in the archive
            jvm.java.lang.Class.forName(name, False, loader)


if __name__ == "__main__":
    sys.exit(main())
