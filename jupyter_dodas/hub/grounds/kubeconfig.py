"""A kubeconfig that came from elsewhere, as far as it is only addresses and credentials. Pure.

A kubeconfig may name programs that are run, and files that are read, by whoever uses it. Here that would be the hub.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from jupyter_dodas.errors import ProvisionFailed

__all__ = ["plain"]

_CLUSTER: Final = ("server", "certificate-authority-data", "tls-server-name")
_USER: Final = ("token", "client-certificate-data", "client-key-data")
_LONGEST: Final = 1 << 20


def plain(text: str, name: str) -> bytes:
    """Return one with a single context, of this name, and nothing that is run or read elsewhere.

    Raises
    ------
    ProvisionFailed
        If nothing is left with which a cluster could be reached over TLS.
    """
    import yaml  # the client for Kubernetes brings it

    if len(text) > _LONGEST:
        raise _unusable("It is longer than a kubeconfig.")
    try:
        written = yaml.safe_load(text)
        contexts = _by_name(written, "contexts", "context")
        context = contexts[str(written.get("current-context") or next(iter(contexts)))]
        cluster = _by_name(written, "clusters", "cluster")[str(context["cluster"])]
        user = _by_name(written, "users", "user")[str(context["user"])]
    except (yaml.YAMLError, AttributeError, KeyError, StopIteration, TypeError, ValueError, RecursionError):
        raise _unusable("It is no kubeconfig.") from None  # whose text is secret
    there = {key: value for key in _CLUSTER if isinstance(value := cluster.get(key), str)}
    who = {key: value for key in _USER if isinstance(value := user.get(key), str)}
    try:
        for key, value in {**there, **who}.items():
            if key.endswith("-data"):
                base64.b64decode(value, validate=True)
    except binascii.Error:
        raise _unusable("A certificate or key in it is damaged.") from None
    address = urlsplit(there.get("server", ""))
    if address.scheme != "https" or not address.hostname or address.username is not None:
        raise _unusable("Its server is no https address.")
    if "token" not in who and not {"client-certificate-data", "client-key-data"} <= who.keys():
        raise _unusable("There is no token and no certificate in it. Programs and files that it names are not used by a hub.")
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": there}],
            "users": [{"name": name, "user": who}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }
    ).encode()


def _by_name(written: Any, part: str, what: str) -> Mapping[str, Mapping[str, Any]]:
    return {str(one["name"]): one[what] for one in written[part]}


def _unusable(cause: str) -> ProvisionFailed:
    return ProvisionFailed(
        "The hub cannot use the kubeconfig of this infrastructure",
        cause=cause,
        remedy="An administrator looks at the output kubeconfig of its template, or at the file that the provisioner names.",
    )
