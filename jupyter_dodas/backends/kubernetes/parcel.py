"""What a user has on her machine and the pods shall find: files to lay beside each instance, and data credentials.

They are packed where they are, at the launch, and travel in Secrets of the cluster.
"""

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from jupyter_dodas.errors import InvalidOption

__all__ = ["ARCHIVE", "CREDENTIALS", "FILES", "of_options", "packed"]

FILES: Final = "files"
CREDENTIALS: Final = "credentials"
ARCHIVE: Final = "files.tar.gz"

_MOST: Final = 700 * 2**10
"""Bytes that a Secret of at most a megabyte has room for, written in base64."""


def of_options(options: Mapping[str, Any]) -> Mapping[str, Mapping[str, bytes]]:
    """Return the files of each Secret that the options of a launch ask for.

    Raises
    ------
    InvalidOption
        If they are too large.
    """
    around = options.get("environment") or {}
    found = {}
    if around.get("files"):
        found[FILES] = packed(around["files"])
    if around.get("credentials"):
        found[CREDENTIALS] = credentials(around["credentials"])
    return found


def packed(files: Sequence[str]) -> Mapping[str, bytes]:
    """Return an archive with these files and folders, by their last names."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for file in files:
            tar.add(file, arcname=Path(file).name)
    return _small({ARCHIVE: archive.getvalue()}, "environment.files")


def credentials(folder: str) -> Mapping[str, bytes]:
    """Return the files of a folder of credentials."""
    return _small({path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}, "environment.credentials")


def _small(files: Mapping[str, bytes], option: str) -> Mapping[str, bytes]:
    size = sum(map(len, files.values()))
    if size > _MOST:
        raise InvalidOption(
            f"{option} will not do: it has {size / 2**20:.1f} MiB, and {_MOST / 2**20:.1f} MiB can be sent along",
            cause="On Kubernetes files travel in an object of the API, which has at most a megabyte.",
            remedy="Lay large files on a volume, and name its claim in the setting kubernetes_pod.",
        )
    return files
