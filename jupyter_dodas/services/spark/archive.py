"""The class-data archive: classes of Spark as Java has them in memory, so that no process loads and checks them once more.

Half of the time that a Spark process needs to start is spent on classes. One archive serves the master, workers, drivers,
executors and Connect servers of one Java and one Spark. It is made by a small run of Spark, once, at the lowest priority beside
the first cluster.
"""

import asyncio
import hashlib
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import platformdirs

from jupyter_dodas.services.spark.java import Java, Spark

__all__ = ["find", "make_in_background", "path"]

_TRAINING: Final = "jupyter_dodas.services.spark.training"

_EDITION: Final = "2"
"""To be raised when `training` makes another archive of the same Java and Spark."""


def path(java: Java, spark: Spark, *, shared: bool = False) -> Path:
    """Where the archive is, or will be. Java and Spark must be the very same files.

    Parameters
    ----------
    shared
        For everybody who has this interpreter, as images have it.
    """
    # Layers of images keep whole seconds.
    parts = [_EDITION, str(java.program), java.version, spark.class_path, spark.version, str(int(spark.jars.stat().st_mtime))]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    folder = Path(sys.prefix, "share") if shared else platformdirs.user_cache_path()
    return folder / "jupyter-dodas" / f"spark-{spark.version}-{key}.jsa"


def find(java: Java, spark: Spark) -> str | None:
    """Return the archive, if it has been made."""
    shared = path(java, spark, shared=True)
    if shared.exists():
        return str(shared)
    with suppress(OSError):
        made = path(java, spark)
        os.utime(made)  # it is in use; those that nobody uses are removed one day
        return str(made)
    return None


async def make_in_background() -> None:
    """Make the archive; when cancelled, it is left to the next cluster."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", _TRAINING, env=os.environ)
    try:
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
