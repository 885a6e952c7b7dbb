"""Install this project, or pinned servers into an environment of their own: with uv, from wherever pip is configured to look.

uv does not read pip's configuration, so a machine with a mirror, a wheel folder or a certificate of its own would need
everything twice. What uv is told by its own variables goes before.
"""

import argparse
import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

# Options of pip, the variables of uv that mean the same, and what separates several values there.
SAME = (
    ("index-url", "UV_DEFAULT_INDEX", " "),
    ("extra-index-url", "UV_INDEX", " "),
    ("find-links", "UV_FIND_LINKS", ","),
    ("trusted-host", "UV_INSECURE_HOST", " "),
    ("cert", "SSL_CERT_FILE", " "),
    ("proxy", "ALL_PROXY", " "),
    ("timeout", "UV_HTTP_TIMEOUT", " "),
    ("default-timeout", "UV_HTTP_TIMEOUT", " "),
)


NOISE = ("+ ", "- ", "~ ", "Downloading ", "Downloaded ", "Building ", "Built ")


def main() -> int:
    """Run uv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--constraints", required=True, help="file with the version of everything")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--editable", help='this project, with extras: ".[dask,lab]"')
    what.add_argument("--into", metavar="PYTHON", help="all that the constraints name, into another environment")
    arguments = parser.parse_args()
    configuration = pip_configuration()
    command = [sys.executable, "-m", "uv", "pip", "install", "--python", arguments.into or sys.executable]
    command += ["--build-constraints", arguments.constraints]
    if arguments.into:
        command += ["--requirements", arguments.constraints]
    else:
        command += ["--editable", arguments.editable, "--constraints", arguments.constraints]
    if configuration.get("no-index", "").lower() in {"1", "true", "yes", "on"}:
        command.append("--no-index")
    variables = {**variables_for_uv(configuration), **os.environ}
    with subprocess.Popen(command, env=variables, stderr=None if sys.stderr.isatty() else subprocess.PIPE, text=True) as uv:
        # Without a terminal there is no progress to show, and a line for every package is noise in a log.
        for line in uv.stderr or ():
            if not line.lstrip().startswith(NOISE):
                print(line, end="", file=sys.stderr)
    return uv.returncode


def pip_configuration() -> Mapping[str, str]:
    """Return what pip's files and variables say, by the name of the option."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.rpartition(".")
        if section in found:
            found[section][option] = ast.literal_eval(value)
    return {**found["global"], **found["install"], **found[":env:"]}


def variables_for_uv(configuration: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that tell uv what pip was told."""
    variables = {}
    for option, variable, separator in SAME:
        values = configuration.get(option, "").split()
        if option == "find-links":
            # pip passes over a folder that is not there; for uv it is an error.
            values = [value for value in values if urlsplit(value).scheme or Path(value).is_dir()]
        if values:
            variables[variable] = separator.join(values)
    if "UV_INDEX" in variables:
        # pip takes the version wanted from whichever index has it; uv would look at the first that knows the name.
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return variables


if __name__ == "__main__":
    sys.exit(main())
