"""Options of a provisioner, as an administrator writes them."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import ValidationError

from jupyter_dodas.errors import InvalidSetting
from jupyter_dodas.spec import Model

__all__ = ["Options"]


class Options(Model):
    """What a provisioner can be told; a kind subclasses it."""

    @classmethod
    def read(cls, kind: str, written: Mapping[str, Any]) -> Self:
        """Return what is written, checked.

        Raises
        ------
        InvalidSetting
            With the option that will not do.
        """
        try:
            return cls.model_validate(dict(written))
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            raise InvalidSetting(
                f"The option {'.'.join(map(str, first['loc']))!r} of a provisioner {kind} will not do",
                cause=first["msg"],
                remedy=f"Options: {', '.join(cls.model_fields)}." if cls.model_fields else "It has none at all.",
            ) from None
