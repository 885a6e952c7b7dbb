"""What the Infrastructure Manager gives of an infrastructure that is ready: its outputs, told apart into secrets and others."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml
from pydantic import SecretStr

from jupyter_dodas.errors import ProvisionFailed
from jupyter_dodas.provision.base import Outputs

__all__ = ["asked", "name", "outputs", "secrets", "stamped"]

_SECRET: Final = re.compile(r"token|passw|secret|credential|private|key", re.IGNORECASE)
_ASKED: Final = re.compile(r"""^\s+dodas_asked:\s*["']?(\d+(?:\.\d+)?)""", re.MULTILINE)
_NAME: Final = re.compile(r"""^\s+infra_name:\s*["']?([\w.-]+)""", re.MULTILINE)


def outputs(found: Mapping[str, Any]) -> Outputs:
    """Return outputs as they are meant.

    Raises
    ------
    ProvisionFailed
        If what is called kubeconfig is none.
    """
    values = {key: _flat(value) for key, value in found.items() if key != "kubeconfig" and not _SECRET.search(key)}
    kubeconfig = _kubeconfig(found.get("kubeconfig"))
    return Outputs(
        kubeconfig=SecretStr(kubeconfig) if kubeconfig else None, values={key: value for key, value in values.items() if value}
    )


def _flat(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(part for part in map(_flat, value) if part)  # of a machine that is not there any more it is null
    return "" if value is None or isinstance(value, Mapping) else str(value)


def _kubeconfig(found: Any) -> str:
    """Return it as text: a task may have given it as YAML, or as JSON with what else Ansible says."""
    if found in (None, ""):
        return ""
    try:
        read = yaml.safe_load(found) if isinstance(found, str) else found
    except yaml.YAMLError:
        read = None
    if isinstance(read, Mapping) and "msg" in read:
        return _kubeconfig(read["msg"])
    if not isinstance(read, Mapping) or not read.get("clusters"):
        # Nothing of it is told: it may be half a secret.
        raise ProvisionFailed(
            "The infrastructure gives no kubeconfig",
            cause="What its template has in this place is something else.",
            remedy="Read its log: the recipe of the front end writes it last.",
        )
    return found if isinstance(found, str) else yaml.safe_dump(read)


def stamped(document: str, at: float) -> str:
    """Return a template with the time at which it was asked for, so that whoever looks at it later knows since when it is due."""
    return re.sub(
        r"^metadata:[ ]*\n([ ]+)",
        lambda found: f"{found.group()}dodas_asked: '{at:.3f}'\n{found.group(1)}",
        document,
        count=1,
        flags=re.MULTILINE,
    )


def asked(document: str) -> float | None:
    """Return the time that `stamped` has noted in a template."""
    found = _ASKED.search(document)
    return float(found.group(1)) if found else None


def name(document: str) -> str | None:
    """Return under which name a template was sent."""
    found = _NAME.search(document)
    return found.group(1) if found else None


def secrets(document: str) -> Iterator[str]:
    """Yield the values of the inputs of a template that are secret, by its own word or by their names."""
    try:
        read = yaml.load(document, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
        told = str((read.get("metadata") or {}).get("secrets", "")).replace(",", " ").split()
        inputs = read["topology_template"].get("inputs") or {}
        for one, facts in inputs.items():
            if (one in told or _SECRET.search(one)) and isinstance(facts.get("default"), str):
                yield facts["default"]
    except (yaml.YAMLError, AttributeError, KeyError, TypeError):
        return
