"""Tell a build of an image where packages come from: what pip is told on this machine, for the pip and the uv in there.

What is printed is a file for a shell, without folders of this machine; certificates come as a file of their own.
"""

import shlex
import sys
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from install import SAME, pip_configuration, variables_for_uv

__all__ = ["variables"]

AUTHORITIES: Final = "/run/authorities"


def main() -> int:
    """Print the file; with `--authorities`, the path of the certificates that pip is to trust, if there is one."""
    configuration = pip_configuration()
    if sys.argv[1:] == ["--authorities"]:
        print(configuration.get("cert", ""))
    else:
        for name, value in variables(configuration).items():
            print(f"export {name}={shlex.quote(value)}")
    return 0


def variables(configuration: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for pip and uv that mean the same in a container."""
    found = {option: configuration[option] for option, _, _ in SAME if configuration.get(option)}
    if "cert" in found:
        found["cert"] = AUTHORITIES
    if "find-links" in found:
        found["find-links"] = " ".join(value for value in found["find-links"].split() if urlsplit(value).scheme)
    pip = {f"PIP_{option.upper().replace('-', '_')}": " ".join(value.split()) for option, value in found.items() if value}
    return {**pip, **variables_for_uv(found)}


if __name__ == "__main__":
    sys.exit(main())
