"""What the processes of one cluster show each other: the names of its files, and the TLS contexts made from them.

Only the standard library is imported: the controller reads this too.
"""

import ssl
from pathlib import Path
from typing import Final

__all__ = ["AUTHORITY", "CERTIFICATE", "KEY", "accepting", "connecting"]

AUTHORITY: Final = "ca.pem"
"""The certificate of the cluster's own authority; its key was thrown away after signing."""
CERTIFICATE: Final = "cert.pem"
KEY: Final = "key.pem"


def accepting(folder: Path) -> ssl.SSLContext:
    """Return the context of a server that lets only the cluster's own certificate in."""
    return _mutual(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), folder)


def connecting(folder: Path) -> ssl.SSLContext:
    """Return the context of a client that shows the cluster's certificate and trusts only its authority."""
    return _mutual(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), folder)


def _mutual(context: ssl.SSLContext, folder: Path) -> ssl.SSLContext:
    # The authority signed one certificate in its life, so holding it is the identity; addresses may change under it.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(folder / AUTHORITY)
    context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
    return context
