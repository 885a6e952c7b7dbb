"""The page on which one says who one is. It needs no script and no cookie."""

from collections.abc import Mapping
from html import escape
from typing import Final

from jupyter_dodas.iam.development.directory import Directory, User

__all__ = ["problem", "sign_in"]

_STYLE: Final = """
:root { color-scheme: light dark;
  --paper: #fff; --ground: #f6f7f8; --line: #c9cfd6; --ink: #1b1f24; --soft: #56606c; --brand: #0b63ce }
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #1b1e23; --ground: #23272e; --line: #4a525d; --ink: #e7eaee; --soft: #a9b2bd; --brand: #6cb0ff
  }
}
* { box-sizing: border-box }
body { margin: 0; padding: 8vh 16px;
  font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: var(--ink); background: var(--ground) }
main { max-width: 460px; margin: auto;
  padding: 26px 30px; background: var(--paper); border: 1px solid var(--line); border-radius: 8px }
h1 { margin: 0 0 4px; font-size: 20px }
p { margin: 0 0 16px; color: var(--soft) }
ul { list-style: none; margin: 0; padding: 0 }
button { display: block; width: 100%; margin: 8px 0; padding: 10px 12px; font: inherit; text-align: left; color: inherit;
  background: var(--paper); border: 1px solid var(--line); border-radius: 6px; cursor: pointer }
button:hover, button:focus-visible { border-color: var(--brand); outline: 2px solid var(--brand); outline-offset: 0 }
button[disabled] { cursor: default; opacity: .7; border-style: dashed }
b { display: block; font-weight: 600 }
small { color: var(--soft); font-size: 13px }
"""

_PAGE: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>{style}</style></head>
<body><main>{body}</main></body>
</html>
"""


def sign_in(directory: Directory, asked: Mapping[str, str]) -> str:
    """Return the page.

    Parameters
    ----------
    directory
        Who there is.
    asked
        The request of the client, which comes back with the choice.
    """
    hidden = "".join(f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in asked.items())
    choices = "".join(_choice(name, user) for name, user in directory.users.items())
    body = (
        "<h1>Who are you?</h1><p>This development IAM serves this machine only, and asks for no password.</p>"
        f'<form method="post" action="authorize">{hidden}<ul>{choices}</ul></form>'
    )
    return _PAGE.format(title="Sign in", style=_STYLE, body=body)


def problem(sentence: str) -> str:
    """Return a page that says why nobody can sign in this way."""
    body = f"<h1>This sign-in cannot go on</h1><p>{escape(sentence)}</p><p>Go back to where you came from, and try again.</p>"
    return _PAGE.format(title="Sign-in refused", style=_STYLE, body=body)


def _choice(name: str, user: User) -> str:
    about = "suspended" if user.suspended else ", ".join(user.groups) or "in no group"
    return (
        f'<li><button name="user" value="{escape(name)}"{" disabled" if user.suspended else ""}>'
        f"<b>{escape(user.name or name)}</b><small>{escape(name)} · {escape(about)}</small></button></li>"
    )
