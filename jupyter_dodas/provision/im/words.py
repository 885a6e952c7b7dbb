"""What the Infrastructure Manager says, in words for people: the cause out of its logs, and no secret."""

import json
import re
from collections.abc import Iterable
from typing import Final

__all__ = ["cause", "hidden", "sentence"]

_LONGEST: Final = 500
"""Characters of a cause."""
_HIDDEN: Final = "(hidden)"

_ERROR_LINE: Final = re.compile(r"^\s*(\w+\.)*\w*(Error|Exception)\b.*", re.MULTILINE)
_STAMP: Final = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: ")
_TROUBLE: Final = re.compile(r"error\b|all vms failed|no cloud provider|no vms to deploy|\w+(exception|error)\b", re.IGNORECASE)
"""How lines of its own begin that tell trouble. What comes from Ansible is full of words like these."""

_OWN: Final = re.compile(r"Contextualization Error|ERROR: Max contextualization time")

_PRIVATE: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL)
_TOKEN: Final = re.compile(r"\beyJ[\w-]{4,}\.[\w-]+\.[\w-]*")
_FIELD: Final = re.compile(
    r"""(?ix) ( [\w.-]* (?: token | password | passwd | secret | client-key-data | private_key | access_key ) [\w.-]*
                \\? ["']? \s* [:=] \s* \\? ["']? )  (?! \s | \{ | \[ | \( ) (?: bearer\s+ )? [^\s"',;\\]+ """
)
_KUBECONFIG: Final = re.compile(r"^.*\bapiVersion\b.*\bclusters?\b.*$", re.MULTILINE)


def hidden(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text without what in it is secret.

    Parameters
    ----------
    secrets
        Values that are known to be.
    """
    for secret in sorted((one for one in secrets if len(one) >= 4), key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
    text = _KUBECONFIG.sub("(a kubeconfig)", text)
    text = _TOKEN.sub(_HIDDEN, _PRIVATE.sub(_HIDDEN, text))
    return _FIELD.sub(rf"\g<1>{_HIDDEN}", text)


def sentence(said: str) -> str:
    """Return what a refusal says, without the stack trace that may come with it."""
    lines = [found.group().strip() for found in _ERROR_LINE.finditer(said)]
    if "Traceback" in said or len(said) > _LONGEST:
        said = " ".join(dict.fromkeys(lines)) or said.strip().partition("\n")[0]
    return _short(hidden(" ".join(said.split())))


def cause(log: str) -> str:
    """Return why an infrastructure has failed, from its log; empty if that says nothing of it.

    What Ansible ignores does not count: the Infrastructure Manager has it try several things of which one has to succeed.
    """
    if found := _fatal(log):
        return _short(hidden(found))
    lines = [_STAMP.sub("", line).strip() for line in log.splitlines()]
    for wanted in (_OWN, _TROUBLE):
        if spoken := [number for number, line in enumerate(lines) if wanted.match(line)]:
            # Of a cloud that refuses, the words follow on the next line.
            last = spoken[-1]
            more = lines[last + 1 : last + 2] if lines[last].startswith("All VMs failed") else []
            return _short(hidden(" ".join([lines[last], *more])))
    return ""


def _fatal(log: str) -> str:
    found = ""
    for task in re.split(r"\n(?=TASK \[|PLAY |Launch task: )", log):
        said = [line for line in task.splitlines() if line.startswith(("fatal:", "failed:"))]
        if said and "...ignoring" not in task:
            found = f"{_message(said[-1])} ({_name(task)})"
    return found


def _message(line: str) -> str:
    """Return what a module of Ansible said, from its line ``fatal: [HOST]: FAILED! => {...}``."""
    head, _, said = line.partition("=> ")
    try:
        result = json.loads(said)
        spoken = [str(result[key]) for key in ("msg", "stderr", "stdout") if result.get(key)]
    except (ValueError, AttributeError):
        spoken = []
    return " ".join((spoken[0] if spoken else said or head).split())


def _name(task: str) -> str:
    named = re.match(r"TASK \[(.*?)\]", task)
    return f"in the step {named.group(1)!r}" if named else "at once"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
