"""The environment that a cluster's processes take over from whoever launched it: what programs need, never what may be a secret."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["inherited", "read", "write"]

_FILE: Final = "surroundings.json"

_INHERITED: Final = frozenset(
    {
        "BEARER_TOKEN_FILE",
        "CUDA_VISIBLE_DEVICES",
        "DYLD_LIBRARY_PATH",
        "HOME",
        "JAVA_HOME",
        "KRB5CCNAME",
        "LANG",
        "LANGUAGE",
        "LD_LIBRARY_PATH",
        "LOGNAME",
        "PATH",
        "PYTHONNOUSERSITE",
        "PYTHONPATH",
        "REQUESTS_CA_BUNDLE",
        "ROOTSYS",
        "SHELL",
        "SPARK_HOME",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "TMPDIR",
        "TZ",
        "USER",
        "VIRTUAL_ENV",
        "X509_CERT_DIR",
        "X509_USER_PROXY",
    }
)
_INHERITED_PREFIXES: Final = ("LC_", "XDG_", "CONDA_", "OMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "DODAS_", "MALLOC_")
_OURS_ALONE: Final = frozenset({"DODAS_ALIVE"})


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an environment that is taken over."""
    return {
        name: value
        for name, value in environ.items()
        if (name in _INHERITED or name.startswith(_INHERITED_PREFIXES)) and name not in _OURS_ALONE
    }


def write(folder: Path) -> None:
    """Note the surroundings of this process beside a record."""
    (folder / _FILE).write_text(json.dumps(inherited(os.environ)), "utf-8")


def read(folder: Path) -> dict[str, str]:
    """Return the surroundings of the process that launched the cluster of this folder."""
    try:
        noted: dict[str, str] = json.loads((folder / _FILE).read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return inherited(os.environ)
    return noted
