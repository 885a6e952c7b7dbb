"""What tokens and userinfo say of a user, in each of IAM's token profiles."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from jupyter_dodas.iam.development.directory import Client, Directory
from jupyter_dodas.iam.profiles import Profile

__all__ = ["ANY", "allowed", "profile_of_client", "user_claims", "wlcg_groups"]

ANY: Final = "https://wlcg.cern.ch/jwt/v1/any"
"""The audience of a WLCG token that is for everybody."""

_GROUPS: Final = "wlcg.groups"


def profile_of_client(directory: Directory, client: Client) -> Profile:
    """Return the profile of a client: the one that is among its registered scopes."""
    named = [profile for profile in Profile if profile.value in client.scope.split()]
    return named[0] if len(named) == 1 else directory.profile


def allowed(client: Client, asked: Iterable[str]) -> bool:
    """Whether a client may ask for these scopes: those it has, paths below them, and optional groups by name."""
    registered = client.scope.split()

    def one(scope: str) -> bool:
        below = any(has.endswith(":/") and scope.startswith(has) for has in registered)
        return scope in registered or below or (_GROUPS in registered and scope.startswith(f"{_GROUPS}:/"))

    return all(one(scope) for scope in asked)


def wlcg_groups(directory: Directory, user: str, scope: Sequence[str]) -> list[str]:
    """Return the groups of a WLCG token: none unless a scope asks, those that it names first, optional ones only if named."""
    if not any(one == _GROUPS or one.startswith(f"{_GROUPS}:/") for one in scope):
        return []
    it = directory.users[user]
    named = [one.removeprefix(f"{_GROUPS}:/") for one in scope if one.startswith(f"{_GROUPS}:/")]
    first = [group for group in named if group in {*it.groups, *it.optional_groups}]
    return [f"/{group}" for group in dict.fromkeys([*first, *sorted(it.groups)])]


def user_claims(directory: Directory, user: str, scope: Sequence[str], profile: Profile, groups: Sequence[str]) -> dict[str, Any]:
    """Return the claims about a user.

    Parameters
    ----------
    directory
        Who there is.
    user
        Whose claims.
    scope
        What was granted.
    profile
        Of the client.
    groups
        Those in the access token, which a WLCG client's userinfo repeats.
    """
    it = directory.users[user]
    claims: dict[str, Any] = {"sub": directory.subject(user)}
    if "profile" in scope:
        claims |= {"name": it.name or user, "preferred_username": user}
        if profile is Profile.IAM:
            claims |= {"groups": sorted(it.groups), "organisation_name": directory.organisation}
        if profile is Profile.AARC:
            paths = [group.replace("/", ":") for group in sorted(it.groups)]
            claims["eduperson_entitlement"] = [f"urn:geant:iam.localhost:group:{path}#{directory.organisation}" for path in paths]
    if "email" in scope and it.email:
        claims |= {"email": it.email, "email_verified": True}
    if profile is Profile.WLCG and groups:
        claims[_GROUPS] = list(groups)
    return claims
