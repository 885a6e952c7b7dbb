"""Real tokens of the development IAM, without a browser."""

import base64
import hashlib
import secrets
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.hubs import DevelopmentIam

__all__ = ["REDIRECT", "sign_in"]

REDIRECT = "http://127.0.0.1:1/callback"


def sign_in(iam: DevelopmentIam, user: str) -> str:
    """Sign a user in, and return an access token."""
    verifier = secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    asked = {
        "client_id": "hub",
        "redirect_uri": REDIRECT,
        "response_type": "code",
        "code_challenge_method": "S256",
        "code_challenge": challenge,
        "scope": "openid profile",
    }
    agreed = httpx.post(f"{iam.issuer}authorize", data={**asked, "user": user}, timeout=30)
    code = parse_qs(urlsplit(agreed.headers["location"]).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "code_verifier": verifier}
    secret = (iam.folder / "client.secret").read_text()
    given = httpx.post(f"{iam.issuer}token", data=form, auth=("hub", secret), timeout=30).raise_for_status()
    return str(given.json()["access_token"])
