"""Certificates of a cluster, and who may use them: made anew at each start."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any, Final

from cluster.layout import API, KUBECONFIG, NAME, RUN, Network

__all__ = ["KEYS", "kubeconfig", "make_keys"]

KEYS: Final = RUN / "keys"

# Who signs in with a certificate, and as what: Kubernetes reads the group from O and the user from CN.
SUBJECTS: Final = {
    "apiserver": "/CN=kube-apiserver",
    "admin": "/O=system:masters/CN=admin",
    "controllers": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "proxy": "/CN=system:kube-proxy",
    "kubelet": f"/O=system:nodes/CN=system:node:{NAME}",
}
NAMES: Final = {
    "apiserver": [
        *(f"IP:{address}" for address in ("127.0.0.1", Network.NODE, Network.API)),
        *(f"DNS:{name}" for name in ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")),
    ],
    "kubelet": [f"IP:{Network.NODE}", f"DNS:{NAME}"],
}


def make_keys() -> None:
    """Make the authority, a certificate for each part, and the kubeconfigs."""
    KEYS.mkdir(mode=0o700)
    # The machine's own configuration would add extensions.
    (KEYS / "openssl.cnf").write_text("[req]\ndistinguished_name = none\n[none]\n")
    _certificate("ca", "/CN=test cluster", ["basicConstraints=critical,CA:TRUE"])
    for name, subject in SUBJECTS.items():
        extensions = ["extendedKeyUsage=serverAuth,clientAuth"]
        if name in NAMES:
            extensions.append("subjectAltName=" + ",".join(NAMES[name]))
        _certificate(name, subject, extensions, "-CA", f"{KEYS}/ca.crt", "-CAkey", f"{KEYS}/ca.key")
        kubeconfig(KEYS / f"{name}.conf", name)
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{KEYS}/tokens.key")
    kubeconfig(KUBECONFIG, "admin")


def kubeconfig(path: Path, user: str) -> None:
    """Write what kubectl and every client library need to act as a user."""

    def data(file: str) -> str:
        return base64.b64encode((KEYS / file).read_bytes()).decode()

    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": API, "certificate-authority-data": data("ca.crt")}}],
        "users": [{"name": user, "user": {"client-certificate-data": data(f"{user}.crt"), "client-key-data": data(f"{user}.key")}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        "current-context": "test",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=1))


def _certificate(name: str, subject: str, extensions: list[str], *signed: str) -> None:
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{KEYS}/{name}.key"]
    added = [argument for extension in extensions for argument in ("-addext", extension)]
    made = ["-config", f"{KEYS}/openssl.cnf", "-subj", subject, "-out", f"{KEYS}/{name}.crt"]
    _openssl("req", "-x509", *made, *key, *added, *signed)


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
