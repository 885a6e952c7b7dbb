"""The form on the page where a notebook is started, drawn from JSON Schemas. It works without scripts.

With a script, `labextension/src/hub` draws it anew from what stands beside it as JSON; what is sent are the same fields.
"""

import json
from collections.abc import Callable, Mapping
from html import escape
from itertools import islice, product
from typing import Any, Final

from jupyter_dodas.display.words import count, lasting, size
from jupyter_dodas.errors import InvalidOption
from jupyter_dodas.hub.grounds.offers import INPUT
from jupyter_dodas.hub.profiles import Profiles
from jupyter_dodas.provision.base import Machine

__all__ = ["draw", "kept", "plan", "read"]

_PROFILE: Final = "profile"
_LABELS: Final = {"cores": "Cores", "memory": "Memory", "image": "Image"}


def draw(
    profiles: Profiles,
    chosen: Mapping[str, Any],
    *,
    last: str = "",
    usually: Callable[[str], float | None] = lambda _: None,
    refused: InvalidOption | None = None,
) -> str:
    """Return the fields of the form: a choice of profiles, and in each what can be chosen within it.

    Parameters
    ----------
    chosen
        What stands there at first.
    last
        The profile that was chosen the last time.
    usually
        The seconds that a start of a profile took before.
    refused
        Why what was sent a moment ago was not taken.
    """
    cards = "\n".join(
        _card(profiles, name, schema, chosen, name == last, usually(name)) for name, schema in profiles.schemas().items()
    )
    offer = {
        "profiles": [
            {
                "name": name,
                "title": profiles.all[name].title,
                "description": profiles.all[name].description,
                "usually": usually(name),
                "last": name == last,
                "schema": schema,
                "plans": _plans(profiles, name),
            }
            for name, schema in profiles.schemas().items()
        ],
        "chosen": dict(chosen),
        "refused": refused and {part: getattr(refused, part) for part in _REFUSAL},
    }
    return (
        f'<fieldset class="choices" data-form="{escape(json.dumps(offer))}"><legend>Which notebook</legend>\n{cards}\n</fieldset>'
    )


_REFUSAL: Final = ("code", "message", "cause", "remedy", "option")


def _card(
    profiles: Profiles, name: str, schema: Mapping[str, Any], chosen: Mapping[str, Any], is_last: bool, usually: float | None
) -> str:
    profile = profiles.all[name]
    own = chosen if chosen[_PROFILE] == name else {}
    parts = {option: part for option, part in schema["properties"].items() if option != _PROFILE}
    fields = "".join(
        _field(f"{name}.{option}", _LABELS.get(option) or part.get("title", option), part, own.get(option, part["default"]))
        for option, part in parts.items()
        if len(_offered(part)) > 1
    )
    fixed = ", ".join(
        _amount(option, _offered(part)[0])
        for option, part in parts.items()
        if len(_offered(part)) == 1 and option != "image" and not option.startswith(INPUT)
    )
    known = f"Usually {lasting(usually)}" if usually is not None else ""
    about = " ".join(f"{escape(said.rstrip('.'))}." for said in (profile.description, fixed, known) if said)
    described = f' aria-describedby="about-{name}"' if about else ""
    radio = (
        f'<input type="radio" name="{_PROFILE}" id="profile-{name}" value="{name}"{described}{" checked" if own else ""} required>'
    )
    title = f'<label class="title" for="profile-{name}">{escape(profile.title)}{_LAST if is_last else ""}</label>'
    rest = (f'<p class="help" id="about-{name}">{about}</p>' if about else "") + (
        f'<div class="fields">{fields}</div>' if fields else ""
    )
    if made := plan(profiles, name, own):
        rest += _made(made)
    return f'<div class="choice">{radio}<div>{title}</div><div class="rest">{rest}</div></div>'


def plan(profiles: Profiles, name: str, chosen: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what is made for a profile, in words: of which version of a template, and what. None if nothing is made."""
    offer = profiles.all[name].infrastructure
    if offer is None:
        return None
    inputs = {option.removeprefix(INPUT): value for option, value in chosen.items() if option.startswith(INPUT)}
    machines = [_machines(one) for one in offer.machines(offer.chosen(inputs))]
    template = "" if offer.known is None else f"{offer.known.title}, version {offer.known.digest[:8]}"
    return {"template": template or offer.template, "machines": machines, "stays": _stays(offer.linger)}


def _machines(one: Machine) -> Mapping[str, str]:
    parts = [count(one.cores, "core"), size(one.memory), *([f"{size(one.disk)} disk"] if one.disk else [])]
    return {"name": count(one.count, _ROLES.get(one.role, one.role)), "size": ", ".join(parts)}


def _plans(profiles: Profiles, name: str) -> list[Mapping[str, Any]]:
    """Return what is made with each choice, for a script: as many as anybody would look through."""
    inputs = {option: offered for option, offered in profiles.offered(name).items() if option.startswith(INPUT)}
    choices = (dict(zip(inputs, values, strict=True)) for values in product(*inputs.values()))
    return [{"inputs": one, **told} for one in islice(choices, _MOST) if (told := plan(profiles, name, one)) is not None]


_MOST: Final = 64
_ROLES: Final = {"front_server": "front end", "wn_server": "worker"}


def _stays(linger: float | None) -> str:
    if linger is None:
        return "It stays until somebody deletes it."
    return (
        f"It is deleted {lasting(linger)} after the last notebook on it."
        if linger
        else "It is deleted with the last notebook on it."
    )


def _made(told: Mapping[str, Any]) -> str:
    rows = "".join(f"<div><dt>{escape(one['name'])}</dt><dd>{escape(one['size'])}</dd></div>" for one in told["machines"])
    template = f"Template {escape(told['template'])}. " if told["template"] else ""
    machines = f"<dl>{rows}</dl>" if rows else "<p>A cluster that is there; no machines are made.</p>"
    return (
        f'<details class="made"><summary>What will be created</summary>{machines}<p>{template}{escape(told["stays"])}</p></details>'
    )


_LAST: Final = '<span class="tag">last used</span>'


def _offered(part: Mapping[str, Any]) -> list[Any]:
    offered: list[Any] = part.get("enum", [part.get("const")])
    return offered


def _amount(option: str, value: Any) -> str:
    return count(value, "core") if option == "cores" else str(value)


def _field(name: str, label: str, part: Mapping[str, Any], value: object) -> str:
    options = "".join(
        f'<option value="{escape(str(one))}"{" selected" if one == value else ""}>{escape(str(one))}</option>'
        for one in _offered(part)
    )
    return f'<label>{escape(label)} <select name="{escape(name)}">{options}</select></label>'


def read(profiles: Profiles, sent: Mapping[str, list[str]]) -> Mapping[str, Any]:
    """Return the choice that a form holds.

    Parameters
    ----------
    sent
        The fields of all profiles; those of the others than the chosen one say nothing.

    Raises
    ------
    InvalidOption
        If it is not offered.
    """
    name = _profile(profiles, sent)
    prefix = f"{name}."
    asked: dict[str, Any] = {field.removeprefix(prefix): values[-1] for field, values in sent.items() if field.startswith(prefix)}
    offered = profiles.offered(name)
    for option, text in asked.items():
        # What is no text was made one by the browser; what is not offered is for the profile to refuse.
        asked[option] = next((value for value in offered.get(option, ()) if str(value) == text), text)
    if isinstance(asked.get("cores", 0), str):
        raise InvalidOption(
            f"cores={asked['cores'][:40]} is not offered", option="cores", cause="", remedy="Choose one of those offered."
        )
    return profiles.chosen({_PROFILE: name, **asked})


def kept(profiles: Profiles, sent: Mapping[str, list[str]]) -> Mapping[str, Any]:
    """Return the choice that a form holds as far as it is offered, for a form that is to be filled in again."""
    name = _profile(profiles, sent)
    offered = profiles.offered(name)
    fitting = {
        option: value
        for option, values in offered.items()
        for value in values
        if str(value) in sent.get(f"{name}.{option}", ())[-1:]
    }
    return profiles.kept({_PROFILE: name, **fitting})


def _profile(profiles: Profiles, sent: Mapping[str, list[str]]) -> str:
    return next(iter(sent.get(_PROFILE, ())), next(iter(profiles.all)))
