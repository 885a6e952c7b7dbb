"""Groups, from where each token profile of INDIGO IAM says them in a way that can be relied on.

Which profile a client has is a matter of its registered scopes. With ``wlcg`` the groups are those of the signed access token; what
userinfo says is a copy. With ``iam`` and ``aarc`` they are in userinfo, which is read from the provider itself, and belongs to the
subject of the ID token.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final
from urllib.parse import unquote

__all__ = ["Profile", "groups", "profile_of"]

Claims = Mapping[str, Any]

_MOST: Final = 1000
"""Groups of one person; more than anybody has, and few enough for the hub's database."""

_GROUP: Final = re.compile(r"[^\s/\x00-\x1f\x7f][^/\x00-\x1f\x7f]{0,127}(/[^\s/\x00-\x1f\x7f][^/\x00-\x1f\x7f]{0,127}){0,15}")

# AARC-G069: urn:<NID>:<namespace>[:<more>]:group:<group>[:<subgroup>]...[:role=<role>][#<authority>]
_ENTITLEMENT: Final = re.compile(r"urn:[A-Za-z0-9-]+:[^#]+?:group:(?P<path>[^#]+)(#.*)?")


class Profile(StrEnum):
    """How a client's tokens tell the groups of their user."""

    IAM = "iam"
    WLCG = "wlcg"
    AARC = "aarc"


def profile_of(userinfo: Claims, access: Claims | None) -> Profile:
    """Return the profile that these claims are of. Only a verified token can say that it is WLCG's."""
    if access is not None and "wlcg.ver" in access:
        return Profile.WLCG
    if any(name in userinfo for name in _ENTITLEMENTS):
        return Profile.AARC
    return Profile.IAM


def groups(profile: Profile, userinfo: Claims, access: Claims | None) -> frozenset[str]:
    """Return the groups, as paths without a slash in front.

    Parameters
    ----------
    profile
        Where to look.
    userinfo
        Of the subject of the ID token.
    access
        The claims of the access token, if they were verified.
    """
    if profile is Profile.WLCG:
        return _clean((access or {}).get("wlcg.groups"))
    if profile is Profile.AARC:
        return _clean(path for name in _ENTITLEMENTS for path in _entitled(userinfo.get(name)))
    return _clean(userinfo.get("groups"))


_ENTITLEMENTS: Final = ("entitlements", "eduperson_entitlement")


def _entitled(value: object) -> Iterable[str]:
    """Yield the groups among entitlements. One with a role is left out: membership as such has an entitlement of its own."""
    for one in _strings(value):
        found = _ENTITLEMENT.fullmatch(one)
        parts = found["path"].split(":") if found is not None else []
        if parts and not any(part.startswith("role=") for part in parts):
            yield "/".join(unquote(part) for part in parts)


def _clean(value: object) -> frozenset[str]:
    paths = (one.removeprefix("/") for one in _strings(value))
    return frozenset(sorted(path for path in paths if _GROUP.fullmatch(path) and ".." not in path.split("/"))[:_MOST])


def _strings(value: object) -> Iterable[str]:
    # A string alone is no list of groups: "cms" would be the groups c, m and s.
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return ()
    return (one for one in value if isinstance(one, str))
