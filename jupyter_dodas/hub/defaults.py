"""What a hub of ours sets, wherever it runs; a configuration file calls this first, and changes what it wants otherwise."""

from typing import Any

from jupyter_dodas.hub.pages import TEMPLATES
from jupyter_dodas.hub.tokens import SCOPE

__all__ = ["configure"]


def configure(c: Any, *, issuer: str, client_id: str, client_secret_file: str) -> None:
    """Make a hub sign people in with IAM, and give their servers tokens.

    Parameters
    ----------
    c
        The configuration object of JupyterHub.
    issuer, client_id, client_secret_file
        See `IAMAuthenticator`.
    """
    c.JupyterHub.authenticator_class = "iam"
    c.IAMAuthenticator.issuer = issuer
    c.IAMAuthenticator.client_id = client_id
    c.IAMAuthenticator.client_secret_file = client_secret_file
    c.JupyterHub.template_paths = [str(TEMPLATES)]
    c.JupyterHub.custom_scopes = {SCOPE: {"description": "Get short-lived access tokens of one's own from IAM."}}
    # A server has what both its user and this list have.
    c.JupyterHub.load_roles = [
        {"name": "user", "description": "What everybody may do for themselves.", "scopes": ["self", f"{SCOPE}!user"]}
    ]
    c.Spawner.server_token_scopes = ["users:activity!user", "access:servers!server", f"{SCOPE}!user"]
    c.JupyterHub.tornado_settings = {
        "slow_spawn_timeout": 0,  # every step of a start is shown
        "cookie_options": {"SameSite": "Lax"},
        "headers": {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"},
    }
    # A session that has ended can no longer be confirmed, and what cannot be confirmed does not run.
    c.JupyterHub.shutdown_on_logout = True
