"""What all handlers share: Jupyter's sign-in and permissions, small bodies, and one place that turns errors into replies."""

from http import HTTPStatus
from typing import Any, Final, TypeVar

from jupyter_server.base.handlers import APIHandler, JupyterHandler
from pydantic import BaseModel, ValidationError
from tornado import web

from jupyter_dodas.errors import DodasError
from jupyter_dodas.server.clusters import Clusters
from jupyter_dodas.server.replies import view_of
from jupyter_dodas.spec import Record

__all__ = ["MOST_BYTES", "RESOURCE", "DodasHandler", "ErrorReplies"]

RESOURCE: Final = "dodas"
"""What an authorizer is asked about."""

MOST_BYTES: Final = 1 << 20
"""Of the body of a request."""

ModelT = TypeVar("ModelT", bound=BaseModel)


class ErrorReplies(JupyterHandler):
    """Replies to every error with its `ErrorReply`."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write the reply to an error."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        status, reply = view_of(status_code, error)
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.set_header("Allow", ", ".join(_methods(type(self))))
        self.finish(reply.model_dump_json())

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log what nobody foresaw; what has a sentence is for the user."""
        if isinstance(value, DodasError | ValidationError):
            self.log.debug("%s %s: %s", self.request.method, self.request.path, type(value).__name__)
        else:
            super().log_exception(typ, value, tb)


@web.stream_request_body
class DodasHandler(ErrorReplies, APIHandler):
    """A handler of the REST interface.

    The body is read as it comes, so that one that is too large is refused before it fills the memory of Jupyter Server.
    """

    auth_resource = RESOURCE
    _unread = True

    def initialize(self, clusters: Clusters) -> None:
        """Take what the route was made with."""
        self.clusters = clusters
        self._body = bytearray()
        self._too_large = False

    def set_default_headers(self) -> None:
        """Let nothing between here and the user keep a reply."""
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse what says that it is too large."""
        await super().prepare()
        length = self.request.headers.get("Content-Length", "0")
        if length.isdigit() and int(length) > MOST_BYTES:
            raise _too_large()
        self._unread = False

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write the reply to an error.

        After one before the body was read tornado closes the connection, without a word: a proxy that does not know it sends what
        somebody else asks next into nowhere.
        """
        if self._unread:
            self.set_header("Connection", "close")
        super().write_error(status_code, **kwargs)

    def data_received(self, chunk: bytes) -> None:
        """Take a part of the body."""
        if len(self._body) + len(chunk) > MOST_BYTES:
            self._too_large = True
        else:
            self._body += chunk

    def body(self, model: type[ModelT]) -> ModelT:
        """Return the body of the request.

        Raises
        ------
        ValidationError, tornado.web.HTTPError
        """
        if self._too_large:
            raise _too_large()
        return model.model_validate_json(bytes(self._body))

    def query(self, model: type[ModelT]) -> ModelT:
        """Return the arguments behind the question mark; Jupyter's own, such as `token`, are not among them."""
        given = {name: self.get_query_argument(name, None) for name in model.model_fields}
        return model.model_validate({name: value for name, value in given.items() if value is not None})

    def tags(self) -> list[str] | None:
        """Return the tags that the request insists on; None if it takes the cluster as it is."""
        header = self.request.headers.get("If-Match")
        if header is None or header.strip() == "*":
            return None
        return [tag.strip().removeprefix('"').removesuffix('"') for tag in header.split(",") if not tag.strip().startswith("W/")]

    def compute_etag(self) -> str | None:
        """Return none: a tag is that of a cluster, not a hash of the body."""
        return None

    def check_etag_header(self) -> bool:
        """Never reply that nothing has changed: the tag says what was asked, and the status changes under it."""
        return False

    def reply(self, body: BaseModel | bytes, status: HTTPStatus = HTTPStatus.OK, of: Record | None = None) -> None:
        """Finish with a body.

        Parameters
        ----------
        of
            The cluster that it shows.
        """
        self.set_status(status)
        if of is not None:
            self.set_header("ETag", f'"{of.tag}"')
        self.finish(body if isinstance(body, bytes) else body.model_dump_json())


def _too_large() -> web.HTTPError:
    return web.HTTPError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body has more than {MOST_BYTES} bytes")


def _methods(handler: type[web.RequestHandler]) -> list[str]:
    """Names of the methods that a handler has more of than tornado's refusal."""
    unimplemented = web.RequestHandler.get
    return [name for name in handler.SUPPORTED_METHODS if getattr(handler, name.lower()) is not unimplemented]
