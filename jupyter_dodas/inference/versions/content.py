"""What a version consists of: its files with their checksums, the hash that names it, and whether it is still what it was."""

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from jupyter_dodas.errors import ModelBroken, ModelRefused
from jupyter_dodas.inference.records import Manifest
from jupyter_dodas.inference.versions.tree import checksums

__all__ = ["MANIFEST", "content", "content_hash", "damaged", "verify"]

MANIFEST: Final = "manifest.json"
"""The file of a version's folder that tells of the others."""


def content_hash(manifest: Manifest) -> str:
    """Return what names the version of a manifest."""
    original = sorted((name, digest) for name, digest in manifest.files.items() if name.startswith("original/"))
    # Whose it is, too: what one has staged is not there for another who uploads the same.
    told = [manifest.lineage.owner, original, manifest.keys, manifest.labels, manifest.channels, manifest.params]
    return hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()[:12]


def content(folder: Path) -> dict[str, str]:
    """Return the checksum of each file of a version, by its path; see `checksums` for what is raised."""
    return {name: digest for name, digest in checksums(folder).items() if name != MANIFEST}


def verify(folder: Path, manifest: Manifest) -> None:
    """See that the files of a version are those of its manifest.

    Raises
    ------
    ModelBroken
    """
    try:
        there = content(folder)
    except (ModelRefused, OSError) as error:
        raise damaged(manifest.model, manifest.version, str(error)) from error
    wrong = sorted(name for name in {*manifest.files, *there} if manifest.files.get(name) != there.get(name))
    if wrong:
        raise damaged(manifest.model, manifest.version, f"Not as they were, or not there before: {', '.join(wrong[:5])}.")


def damaged(model: str, version: str, cause: str) -> ModelBroken:
    """Return the error for a version that is not what it was."""
    return ModelBroken(
        f"The version {version} of {model!r} is damaged", cause=cause, remedy="Upload the same model again: that puts it right."
    )
