"""Recipes of the templates, for whoever provisions: anybody may read them, and nobody may keep them."""

from http import HTTPStatus

from tornado import web

from jupyter_dodas.errors import TemplateInvalid
from jupyter_dodas.provision.template import recipe

__all__ = ["RecipeHandler"]


class RecipeHandler(web.RequestHandler):
    """``recipes/<digest>/<file>``: the digest stands in the path since provisioners remember what they once read under one."""

    def set_default_headers(self) -> None:
        """Keep it out of every cache."""
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "application/yaml")
        self.set_header("X-Content-Type-Options", "nosniff")

    def get(self, digest: str, name: str) -> None:
        """Send a recipe, if it is still the one that is meant.

        It is read each time, as templates do for their addresses: another version may be installed while this one runs.
        """
        try:
            known, text = recipe(name)
        except TemplateInvalid:
            raise web.HTTPError(HTTPStatus.NOT_FOUND) from None
        if digest != known:
            raise web.HTTPError(HTTPStatus.NOT_FOUND)
        self.finish(text)

    def head(self, digest: str, name: str) -> None:
        """Tell whether it is there."""
        self.get(digest, name)

    def write_error(self, status_code: int, **_: object) -> None:
        """Say nothing more."""
        self.set_header("Content-Type", "text/plain")
        self.finish(f"{status_code}\n")
