"""The options of a process of ours, as its command line has them."""

from collections.abc import Iterable, Mapping

__all__ = ["flags"]


def flags(options: Mapping[str, object]) -> Iterable[str]:
    """Write options: a tuple as one flag for each of its items, and nothing for None."""
    for name, value in options.items():
        for item in value if isinstance(value, tuple) else (value,):
            if item is not None:
                yield f"--{name}={item}"
