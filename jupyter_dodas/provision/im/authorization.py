"""The line with which the Infrastructure Manager is told who asks, and with which credentials it may make machines.

Its fields are separated by semicolons, its entries by a backslash and an n, values may be quoted, and ``file(...)`` reads a file of
the machine that it runs on. So no value of a user goes into the line that could be any of that.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from jupyter_dodas.errors import CredentialsRefused
from jupyter_dodas.provision.clouds import Cloud, DummyCloud, Ec2, KubernetesCloud, OpenStack

__all__ = ["cloud_id", "line"]

_SAFE: Final = re.compile(r"[ !#-&(-:<-\[\]-~]{1,16384}")
"""What can be printed in ASCII, without quotes, semicolons and backslashes."""


def line(token: str, account: tuple[str, str] | None, clouds: Iterable[Cloud]) -> str:
    """Return the header ``Authorization``.

    Parameters
    ----------
    token
        Of the user; empty if there is none.
    account
        Name and password for an Infrastructure Manager that takes no tokens.

    Raises
    ------
    CredentialsRefused
        If something cannot stand in it, or nothing says who asks.
    """
    if account is not None:
        who = {"type": "InfrastructureManager", "username": account[0], "password": account[1]}
    elif token:
        who = {"type": "InfrastructureManager", "token": token}
    else:
        raise CredentialsRefused(
            "Nobody is named to the Infrastructure Manager",
            cause="There is neither a token of the user nor an account.",
            remedy="Sign in again. An administrator can give the provisioner an account.",
        )
    entries = [_entry(who), *(_entry({"id": cloud_id(cloud), **_fields(cloud, token)}) for cloud in clouds)]
    return "\\n".join(entries)


def cloud_id(cloud: Cloud) -> str:
    """Return what the Infrastructure Manager knows a cloud by. It takes no names that begin with a digit."""
    return f"c-{cloud.name}"


def _fields(cloud: Cloud, token: str) -> Mapping[str, str]:
    if isinstance(cloud, Ec2):
        return {"type": "EC2", "username": cloud.username, "password": cloud.password.get_secret_value()}
    if isinstance(cloud, KubernetesCloud):
        return {"type": "Kubernetes", "host": cloud.host, "token": cloud.token.get_secret_value()}
    if isinstance(cloud, OpenStack):
        if not token:
            raise CredentialsRefused(
                f"The cloud {cloud.name!r} takes the token of its user, and there is none",
                cause="OpenStack is reached with the token that the Infrastructure Manager is given.",
                remedy="Use it through a provisioner without an account, on a hub that gives tokens for it.",
            )
        return {
            "type": "OpenStack",
            "host": cloud.host,
            "username": cloud.idp,
            "tenant": "oidc",
            "password": token,
            "auth_version": "3.x_oidc_access_token",
            "domain": cloud.project,  # with a token it means the project
            **({"tenant_domain_id": cloud.domain} if cloud.domain else {}),
        }
    assert isinstance(cloud, DummyCloud)
    return {"type": "Dummy"}


def _entry(fields: Mapping[str, str]) -> str:
    return "; ".join(f"{name} = {_quoted(name, value)}" for name, value in fields.items())


def _quoted(name: str, value: str) -> str:
    if not _SAFE.fullmatch(value) or "file(" in value.replace(" ", "").lower():
        # Not even a part of the value is told.
        raise CredentialsRefused(
            f"The {name} cannot be told to the Infrastructure Manager",
            cause="It is empty, very long, or has quotes, semicolons, backslashes, line ends or file( in it.",
            remedy="Enter the credentials again, or make others.",
        )
    return f'"{value}"' if "=" in value or value != value.strip() else value
