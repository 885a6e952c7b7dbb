"""What Spark's processes are made of: a Java, the Spark that comes with pyspark, and the command line that joins them.

Spark's own start scripts run a Java virtual machine only to find out how to run another; here one is started at once.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from jupyter_dodas.errors import MissingSoftware

__all__ = [
    "GET_JAVA",
    "OLDEST",
    "PATIENT",
    "SMALL",
    "Java",
    "Spark",
    "command",
    "environment",
    "find_java",
    "find_spark",
    "sharing",
]

OLDEST: Final = 17
"""The oldest Java that Spark 4 runs on."""

GET_JAVA: Final = "Run: apt-get install default-jre-headless (or set JAVA_HOME to a Java 17 or newer)."

_USUAL: Final = ("/usr/lib/jvm/default-java", "/usr/lib/jvm/default", "/usr/lib/jvm/jre")

_MODULES: Final = (
    # What Spark's launcher gives every Java since it needs the inside of these packages.
    "-XX:+IgnoreUnrecognizedVMOptions",
    "--add-modules=jdk.incubator.vector",
    *(
        f"--add-opens=java.base/{package}=ALL-UNNAMED"
        for package in (
            *("java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio", "java.util"),
            *("java.util.concurrent", "java.util.concurrent.atomic", "jdk.internal.ref", "sun.nio.ch", "sun.nio.cs"),
            *("sun.security.action", "sun.util.calendar"),
        )
    ),
    "--add-opens=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Dio.netty.allocator.type=pooled",
    "-Dio.netty.handler.ssl.defaultEndpointVerificationAlgorithm=NONE",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
)


SMALL: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xss512k", "-XX:-UsePerfData")
"""For processes that do little: they are up sooner, and smaller. Never for executors, which compute for hours."""

PATIENT: Final = (
    "-XX:Tier4InvocationThreshold=50000",
    "-XX:Tier4MinInvocationThreshold=6000",
    "-XX:Tier4CompileThreshold=150000",
    "-XX:Tier4BackEdgeThreshold=400000",
)
"""For drivers and executors: the optimising compiler comes as ever, but waits for ten times the calls, so that a start of a few
seconds is not spent on code that runs once. What is called often enough to matter reaches that within a second of computing."""


@dataclass(frozen=True)
class Java:
    """A Java virtual machine.

    Parameters
    ----------
    version
        As it calls itself: ``17.0.15``.
    """

    program: Path
    version: str

    @property
    def major(self) -> int:
        """17 of ``17.0.15``, and 8 of ``1.8.0_292``."""
        first, _, rest = self.version.partition(".")
        found = re.match(r"\d+", rest if first == "1" else first)
        return int(found[0]) if found else 0


@dataclass(frozen=True)
class Spark:
    """The Spark of a pyspark.

    Parameters
    ----------
    home
        The folder that has `jars`.
    """

    home: Path

    @cached_property
    def _core(self) -> tuple[str, str]:
        for jar in self.jars.glob("spark-core_*.jar"):
            scala, _, version = jar.stem.removeprefix("spark-core_").partition("-")
            return scala, version
        raise _no_spark()

    @property
    def jars(self) -> Path:
        """Where its libraries are."""
        return self.home / "jars"

    @property
    def scala(self) -> str:
        """The version of Scala that it is built for: ``2.13``."""
        return self._core[0]

    @property
    def version(self) -> str:
        """Its own version: ``4.3.0``."""
        return self._core[1]

    @property
    def class_path(self) -> str:
        """As Spark's launcher builds it, to the letter, since class-data archives are made for one class path."""
        first = sorted(self.jars.glob("slf4j-api-*.jar"))
        return os.pathsep.join(map(str, [self.home / "conf", *first, self.jars / "*"]))


def find_java(environ: Mapping[str, str]) -> Java:
    """Return the Java to use: that of ``JAVA_HOME``, or the first on the search path.

    Raises
    ------
    MissingSoftware
        If there is none, or only an older one than Spark can use.
    """
    old: Java | None = None
    for program in _javas(environ):
        java = Java(program, _version(program))
        if java.major >= OLDEST:
            return java
        old = old or java
    if old is not None:
        raise MissingSoftware(
            f"Spark needs Java {OLDEST} or newer, and {old.program} is Java {old.version or 'of no known version'}",
            cause="Spark is a Java program; its Python package comes without Java.",
            remedy=GET_JAVA,
        )
    raise MissingSoftware(
        f"Spark needs Java {OLDEST} or newer, and there is no Java on this machine",
        cause="Spark is a Java program; its Python package comes without Java.",
        remedy=GET_JAVA,
    )


def _javas(environ: Mapping[str, str]) -> Iterator[Path]:
    if (home := environ.get("JAVA_HOME")) and (program := Path(home) / "bin" / "java").exists():
        yield program.resolve()
    if found := shutil.which("java", path=environ.get("PATH", os.defpath)):
        yield Path(found).resolve()
    for usual in _USUAL:
        if (program := Path(usual) / "bin" / "java").exists():
            yield program.resolve()


def _version(program: Path) -> str:
    """Read the version from the file that lies beside every Java; run it only where there is none."""
    try:
        release = (program.parents[1] / "release").read_text("utf-8")
    except OSError:
        try:
            release = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=20, check=False).stderr
        except (OSError, subprocess.TimeoutExpired):
            return ""
    found = re.search(r'(?:JAVA_VERSION=|version )"([^"]+)"', release)
    return found[1] if found else ""


def find_spark() -> Spark:
    """Return the Spark of this interpreter's pyspark, without importing that.

    Raises
    ------
    MissingSoftware
    """
    spec = find_spec("pyspark")
    if spec is None or not spec.submodule_search_locations:
        raise _no_spark()
    spark = Spark(Path(spec.submodule_search_locations[0]))
    if not spark.jars.is_dir():
        raise _no_spark()
    return spark


def _no_spark() -> MissingSoftware:
    return MissingSoftware(
        "Spark clusters need pyspark with its Java libraries, which is not installed",
        cause="The bare jupyter-dodas comes without the libraries of any kind, and pyspark-client without those of Java.",
        remedy='Run: pip install "jupyter-dodas[spark]"',
    )


def command(java: Java, spark: Spark, main: str, *arguments: str, options: Sequence[str] = ()) -> list[str]:
    """Return the command line that runs a main class of Spark.

    Parameters
    ----------
    options
        For the virtual machine: heap, archive.
    """
    return [str(java.program), "-cp", spark.class_path, *_MODULES, *options, main, *arguments]


def sharing(archive: str | None) -> list[str]:
    """Return the options that have a virtual machine use a class-data archive, if there is one.

    Java would put it at an address drawn by lot: it then reads all of it and writes most of it anew, 40,000 pages in each process.
    At the address that it was made for, processes share the pages, and read those that they need.
    """
    return ["-XX:+UnlockDiagnosticVMOptions", "-XX:ArchiveRelocationMode=0", f"-XX:SharedArchiveFile={archive}"] if archive else []


def environment(java: Java, spark: Spark, host: str, base: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a Java process of Spark needs, on top of others.

    Parameters
    ----------
    host
        The address that it listens on, pages included.
    """
    ours = {
        "SPARK_HOME": str(spark.home),
        "SPARK_LOCAL_IP": host,
        # Without it, executors look for the folders of a source tree and do not start.
        "SPARK_SCALA_VERSION": spark.scala,
        "JAVA_HOME": str(java.program.parents[1]),
    }
    # A configuration folder of the user would be in the class path of executors, which then have no class-data archive.
    return {name: value for name, value in base.items() if name != "SPARK_CONF_DIR"} | ours
