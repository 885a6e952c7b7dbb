"""OpenID Connect and JWT: for the hub that signs people in, and for programs that need a token. Stands alone."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jupyter_dodas.iam.bearer import token

__all__ = ["token"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: a kernel needs none of what verifies tokens."""
    if name == "token":
        from jupyter_dodas.iam.bearer import token

        return token
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
