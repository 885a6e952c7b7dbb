"""The process of a notebook server: it reads what the hub handed over, and becomes the server.

JupyterHub's server takes its token from JUPYTERHUB_API_TOKEN and from nowhere else. So the token comes from a file that only its
owner can read, and enters the environment here, in the process that needs it: no command line and no record ever hold it.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from jupyter_dodas.services.notebook.handover import of_bytes

__all__ = ["main"]

_SINGLE_USER: Final = "jupyterhub-singleuser"

_NAME: Final = "jupyter_dodas.services.notebook.process"


def main(argv: Sequence[str]) -> None:
    """Become the server.

    Parameters
    ----------
    argv
        Where to listen, where the variables are, and after ``--`` the command.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--variables", type=Path, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("command", nargs="+")
    asked = parser.parse_args(argv)
    program, *arguments = asked.command
    if program == _SINGLE_USER and _NAME not in sys.orig_argv:
        # Forked from a process that was started for something else: a notebook has an interpreter of its own.
        os.execv(sys.executable, [sys.executable, "-m", _NAME, *argv])  # noqa: S606 - no shell is wanted
    variables = dict(of_bytes(asked.variables.read_bytes()))
    variables["JUPYTERHUB_SERVICE_URL"] = f"http://{asked.host}:{asked.port}{variables['JUPYTERHUB_SERVICE_PREFIX']}"
    os.environ.update(variables)
    if program != _SINGLE_USER:
        os.execvp(program, asked.command)  # noqa: S606 - no shell is wanted
    # In this very process, whose environment as others may read it is the one that it was started with, without the token.
    from jupyterhub.singleuser import main as serve  # type: ignore[import-untyped]

    sys.argv = [program, *arguments]
    serve()


if __name__ == "__main__":
    main(sys.argv[1:])
