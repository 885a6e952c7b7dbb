"""Kubeconfigs: read, made to hold in one text all that they name, and tried."""

import base64
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx
import yaml
from pydantic import SecretStr

from jupyter_dodas.errors import CredentialsRefused, InvalidSetting, ProvisionerUnreachable

__all__ = ["Kubeconfig"]

_PATIENCE: Final = 15.0
"""Seconds in which an API server says whether it is ready."""

_FILES: Final = {
    "certificate-authority": "certificate-authority-data",
    "client-certificate": "client-certificate-data",
    "client-key": "client-key-data",
}


class Kubeconfig:
    """One cluster and one user, with everything that was in files.

    Parameters
    ----------
    cluster, user, namespace
        As they stand in a kubeconfig.
    """

    def __init__(self, cluster: Mapping[str, Any], user: Mapping[str, Any], namespace: str = "default") -> None:
        self._cluster, self._user, self._namespace = dict(cluster), dict(user), namespace
        if urlsplit(self.server).scheme not in ("http", "https"):
            raise _invalid("it names no address of an API server")
        if strange := {"exec", "auth-provider"} & self._user.keys():
            raise InvalidSetting(
                f"The kubeconfig has its user signed in by a program ({', '.join(strange)})",
                cause="That program is not where it would be used.",
                remedy="Use a kubeconfig with a token or a certificate, such as one of a service account.",
            )

    @classmethod
    def read(cls, file: Path) -> Self:
        """Return the current context of a file.

        Raises
        ------
        InvalidSetting
            If it cannot be used.
        """
        try:
            found = yaml.safe_load(file.read_text("utf-8"))
            named = {one["name"]: one["context"] for one in found["contexts"]}
            context = named[found["current-context"]]
            cluster = next(one["cluster"] for one in found["clusters"] if one["name"] == context["cluster"])
            user = next(one["user"] for one in found["users"] if one["name"] == context["user"])
            return cls(_inlined(cluster, file.parent), _inlined(user, file.parent), context.get("namespace", "default"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, StopIteration, AttributeError) as error:
            # What a parser says may hold a part of it.
            why = str(error) if isinstance(error, OSError) else "it is none, or its current context is not in it"
            raise _invalid(why) from None

    @classmethod
    def of(cls, server: str, token: str, authority: bytes) -> Self:
        """Return one for a token. Without an authority, those of the system are trusted."""
        more = {"certificate-authority-data": base64.b64encode(authority).decode()} if authority else {}
        return cls({"server": server, **more}, {"token": token})

    @property
    def server(self) -> str:
        """Address of the API server."""
        return str(self._cluster.get("server", ""))

    def text(self) -> SecretStr:
        """Return it as YAML."""
        found = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "cluster", "cluster": self._cluster}],
            "users": [{"name": "user", "user": self._user}],
            "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": "user", "namespace": self._namespace}}],
            "current-context": "cluster",
        }
        return SecretStr(yaml.safe_dump(found, sort_keys=False))

    async def check(self) -> None:
        """Return if the API server is ready, and takes the credentials.

        Raises
        ------
        ProvisionerUnreachable, CredentialsRefused
        """
        headers = {"Authorization": f"Bearer {self._user['token']}"} if self._user.get("token") else {}
        try:
            async with httpx.AsyncClient(verify=self._trust(), timeout=_PATIENCE, trust_env=False) as client:
                # Whether it is ready, everybody may know. Who one is, is known only to whom it knows.
                for path in ("/readyz", "/api"):
                    answer = await client.get(self.server.rstrip("/") + path, headers=headers)
                    if not answer.is_success:
                        break
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise ProvisionerUnreachable(
                "The Kubernetes cluster does not answer",
                cause=f"{urlsplit(self.server).netloc}: {error or type(error).__name__}",
                remedy="Try again in a moment; whoever looks after it knows more.",
            ) from None
        if answer.status_code in (401, 403):
            raise CredentialsRefused(
                "The Kubernetes cluster does not take the credentials",
                cause=f"Its API server said {answer.status_code}.",
                remedy="Renew the token or the certificate in the kubeconfig.",
            )
        if not answer.is_success:
            raise ProvisionerUnreachable("The Kubernetes cluster is not ready", cause=f"Its API server said {answer.status_code}.")

    def _trust(self) -> ssl.SSLContext | bool:
        if urlsplit(self.server).scheme == "http":
            return False
        try:
            authority = self._cluster.get("certificate-authority-data")
            context = ssl.create_default_context(cadata=base64.b64decode(authority).decode() if authority else None)
            if self._cluster.get("insecure-skip-tls-verify"):
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if self._user.get("client-certificate-data"):
                with tempfile.TemporaryDirectory() as folder:  # only from files, in a folder that nobody else can enter
                    certificate, key = Path(folder, "certificate"), Path(folder, "key")
                    certificate.write_bytes(base64.b64decode(self._user["client-certificate-data"]))
                    key.write_bytes(base64.b64decode(self._user["client-key-data"]))
                    context.load_cert_chain(certificate, key)
        except (ValueError, KeyError, ssl.SSLError) as error:
            raise _invalid("its certificates cannot be read") from error
        return context


def _inlined(part: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a cluster or a user with what lies in files, which are not where it will be used."""
    found = dict(part)
    for name, data in _FILES.items():
        if file := found.pop(name, None):
            found[data] = base64.b64encode((folder / file).read_bytes()).decode()
    if file := found.pop("tokenFile", None):
        found["token"] = (folder / file).read_text("utf-8").strip()
    return found


def _invalid(why: str) -> InvalidSetting:
    return InvalidSetting(
        "The kubeconfig of the cluster cannot be used", cause=f"{why[:1].upper()}{why[1:]}.", remedy="Try it with kubectl."
    )
