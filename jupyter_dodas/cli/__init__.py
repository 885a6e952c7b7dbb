"""The `dodas` command: what one can do in Python or on a screen, in a shell."""

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; by default with the arguments of this process."""
    from jupyter_dodas.cli.run import run

    return run(arguments)
