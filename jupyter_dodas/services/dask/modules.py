"""Which modules of a user her tasks may need elsewhere: those beside her notebook or script, within reason."""

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from jupyter_dodas.errors import InvalidOption

__all__ = ["MOST_BYTES", "MOST_FILES", "Bundle", "folders", "named", "nearby"]

MOST_BYTES: Final = 8 * 2**20
MOST_FILES: Final = 1000

# What an environment of its own brings, or what runs the cluster itself, is there on the other side.
_ENVIRONMENT: Final = frozenset({"site-packages", "dist-packages", "pyvenv.cfg"})
_THERE: Final = frozenset({"dask", "distributed", "jupyter_dodas"}) | sys.stdlib_module_names
_USELESS: Final = frozenset({"__pycache__", "node_modules"})


@dataclass(frozen=True)
class Bundle:
    """Modules of one folder.

    Parameters
    ----------
    root
        The folder in which Python finds them.
    files
        What they consist of: contents by the path below the root. The first part of a path is the module's name.
    left_out
        Modules that were not taken, and why.
    """

    root: str
    files: Mapping[str, bytes]
    left_out: Mapping[str, str]

    def digests(self) -> Mapping[str, str]:
        """Return a hash of each top-level module, by its name."""
        hashes: dict[str, hashlib._Hash] = {}
        for path, content in sorted(self.files.items()):
            name = Path(path).parts[0].removesuffix(".py")
            found = hashes.setdefault(name, hashlib.sha256())
            found.update(f"{path}\0{len(content)}\0".encode() + content)
        return {name: found.hexdigest() for name, found in hashes.items()}


def folders(path: Iterable[str], main: str | None) -> list[Path]:
    """Tell where modules of the user's own may be: the working directory and the folder of her script, if Python looks there.

    Parameters
    ----------
    path
        `sys.path`.
    main
        File of the program that runs; None in a notebook.
    """
    beside = [Path.cwd(), *([Path(main).absolute().parent] if main and main.endswith(".py") else [])]
    searched = {Path(entry).absolute() for entry in path}
    return [folder for folder in dict.fromkeys(beside) if folder in searched and not _ENVIRONMENT & {*folder.parts}]


def nearby(folder: Path, loaded: Mapping[str, ModuleType]) -> Bundle:
    """Find the modules and packages directly in `folder`, those first that are imported already.

    A home or a temporary folder is no project: only what is imported is taken from there.

    Parameters
    ----------
    loaded
        What is imported: `sys.modules`.
    """
    found = sorted(_importable(folder), key=lambda path: (_name(path) not in loaded, path.name))
    if folder in (Path.home(), Path(tempfile.gettempdir()), Path(folder.anchor)):
        found = [path for path in found if _name(path) in loaded]
    return _bundle(folder, found)


def named(path: Path) -> Bundle:
    """Find one module or package.

    Raises
    ------
    InvalidOption
        If it is none, or too large.
    """
    path = path.expanduser().absolute()
    if not _is_module(path):
        raise InvalidOption(
            f"{path} is not a Python module",
            cause="It is neither a .py file nor a folder with an __init__.py, or its name cannot be imported.",
            remedy="Name a module or a package.",
        )
    bundle = _bundle(path.parent, [path])
    for why in bundle.left_out.values():
        raise InvalidOption(
            f"{path} cannot be shipped", cause=f"{why[0].upper()}{why[1:]}.", remedy="Install it in the cluster's environment."
        )
    return bundle


def _importable(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            paths = [Path(entry.path) for entry in entries if entry.name not in _USELESS]
    except OSError:
        return
    for path in paths:
        if _name(path) not in _THERE and _is_module(path):
            yield path


def _is_module(path: Path) -> bool:
    if not _name(path).isidentifier():
        return False
    return path.is_file() if path.suffix == ".py" else (path / "__init__.py").is_file()


def _name(path: Path) -> str:
    return path.name.removesuffix(".py")


def _bundle(root: Path, paths: Iterable[Path]) -> Bundle:
    files: dict[str, bytes] = {}
    left_out: dict[str, str] = {}
    size = 0
    for path in paths:
        try:
            own = _read(root, path, MOST_BYTES - size, MOST_FILES - len(files))
        except OSError as error:
            left_out[_name(path)] = f"it cannot be read: {error}"
        else:
            if own is None:
                left_out[_name(path)] = f"it is too large: {MOST_BYTES // 2**20} MiB in {MOST_FILES} files may be shipped in all"
            else:
                files |= own
                size += sum(map(len, own.values()))
    return Bundle(str(root), files, left_out)


def _read(root: Path, path: Path, most_bytes: int, most_files: int) -> dict[str, bytes] | None:
    """Read a module; None if it has more than this."""
    found: dict[str, bytes] = {}
    for file in [path] if path.is_file() else _files(path):
        most_bytes -= file.stat().st_size
        most_files -= 1
        if most_bytes < 0 or most_files < 0:
            return None
        found[file.relative_to(root).as_posix()] = file.read_bytes()
    return found


def _files(package: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(package):
        if _ENVIRONMENT & {*folders, *names}:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if name not in _USELESS and not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and (file := Path(folder, name)).is_file():
                yield file
