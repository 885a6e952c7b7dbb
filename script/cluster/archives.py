"""Images of the cluster's own programs, and how archives of images get into the node."""

import fcntl
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path

from cluster.layout import SHELF, SOCKET, STORE

__all__ = ["ARCHIVES", "OWN", "bring_in", "containers", "ctr", "forget_replaced", "pack"]

ARCHIVES = SHELF / "images"
# What the cluster itself is made of.
OWN = ("coredns", "pause")
ATTEMPTS = 3


def ctr(*arguments: str) -> str:
    """Run a command of containerd on the node, and return what it prints."""
    command = ["ctr", "--address", str(SOCKET), "--namespace", "k8s.io", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"ctr {' '.join(arguments)}: {ran.stderr.strip()}")
    return ran.stdout


def bring_in(only: Collection[str] | None = None) -> Iterator[str]:
    """Import the archives that have changed since the last time, one process at a time, and return their names as they arrive."""
    known = STORE / "imported"
    known.mkdir(parents=True, exist_ok=True)
    with (known / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for archive in sorted(ARCHIVES.glob("*.tar")):
            seen = archive.stat()
            mark, stamp = known / archive.stem, f"{seen.st_size} {seen.st_mtime_ns}"
            if (only is None or archive.stem in only) and (not mark.exists() or mark.read_text() != stamp):
                unpack(archive)
                mark.write_text(stamp)
                yield archive.stem


def unpack(archive: Path) -> None:
    """Import one.

    Where an image is replaced while pods end, a layer that was just found to be there may be collected as one that nobody uses
    (containerd/containerd#2382, #3787). The next attempt unpacks it anew.
    """
    for attempt in range(ATTEMPTS):
        try:
            ctr("images", "import", str(archive))
        except RuntimeError as error:
            if "parent snapshot" not in str(error) or attempt == ATTEMPTS - 1:
                raise
        else:
            return


def forget_replaced() -> None:
    """Let go of images whose name another has by now. No container may run."""
    rows = [line.split()[:3] for line in ctr("images", "list").splitlines()[1:]]
    named = {digest for name, _, digest in rows if not name.startswith("sha256:")}
    if replaced := [name for name, _, digest in rows if digest not in named]:
        ctr("images", "delete", *replaced)


def containers() -> list[str]:
    """Return the containers that the node knows."""
    return ctr("containers", "list", "--quiet").split()


def pack(program: Path, folder: Path = ARCHIVES) -> None:
    """Make an archive of an image that holds one static program and runs it: `localhost/<name>:1`."""
    archive = folder / f"{program.name}.tar"
    if archive.exists() and archive.stat().st_mtime >= program.stat().st_mtime:
        return
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as files:
        files.add(program, program.name)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    image = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "image.json", "RepoTags": [f"localhost/{program.name}:1"], "Layers": ["layer.tar"]}]
    folder.mkdir(parents=True, exist_ok=True)
    half = archive.with_suffix(".half")
    with tarfile.open(half, "w") as files:
        for name, content in (
            ("image.json", json.dumps(image).encode()),
            ("layer.tar", layer.getvalue()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            files.addfile(entry, io.BytesIO(content))
    half.replace(archive)
