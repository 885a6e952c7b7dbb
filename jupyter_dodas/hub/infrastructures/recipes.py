"""Recipes of the templates, for whoever provisions: anybody may read them, and nobody may keep them."""

import hashlib
import re
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Final

from tornado import web

import jupyter_dodas.provision

__all__ = ["RecipeHandler", "recipe"]

_FOLDER: Final = Path(jupyter_dodas.provision.__file__).parent / "recipes"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]*\.ya?ml")
_SHORTEST: Final = 8


@cache
def recipe(name: str) -> tuple[str, bytes] | None:
    """Return the digest and the content of a recipe; None if there is none of this name."""
    if not _NAME.fullmatch(name):
        return None
    try:
        content = (_FOLDER / name).read_bytes()
    except OSError:
        return None
    return hashlib.sha256(content).hexdigest(), content


class RecipeHandler(web.RequestHandler):
    """``recipes/<digest>/<file>``: the digest stands in the path since provisioners remember what they once read under one."""

    def set_default_headers(self) -> None:
        """Keep it out of every cache."""
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "application/yaml")
        self.set_header("X-Content-Type-Options", "nosniff")

    def get(self, digest: str, name: str) -> None:
        """Send a recipe, if it is still the one that is meant."""
        found = recipe(name)
        if found is None or len(digest) < _SHORTEST or not found[0].startswith(digest):
            raise web.HTTPError(HTTPStatus.NOT_FOUND)
        self.finish(found[1])

    def head(self, digest: str, name: str) -> None:
        """Tell whether it is there."""
        self.get(digest, name)

    def write_error(self, status_code: int, **_: object) -> None:
        """Say nothing more."""
        self.set_header("Content-Type", "text/plain")
        self.finish(f"{status_code}\n")
