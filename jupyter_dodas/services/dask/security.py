"""A cluster's secrets as `distributed` takes them: every connection encrypted, both ends known to each other."""

from pathlib import Path

from distributed.security import Security

from jupyter_dodas.credentials import AUTHORITY, CERTIFICATE, KEY

__all__ = ["security"]


def security(folder: Path) -> Security:
    """Return the security of a scheduler, worker or client that holds the secrets in `folder`."""
    certificate, key = str(folder / CERTIFICATE), str(folder / KEY)
    roles = ("scheduler", "worker", "client")
    return Security(  # type: ignore[no-untyped-call]
        require_encryption=True,
        tls_ca_file=str(folder / AUTHORITY),
        **{f"tls_{role}_cert": certificate for role in roles},
        **{f"tls_{role}_key": key for role in roles},
    )
