"""The form on the page where a notebook is started, drawn from JSON Schemas. It works without scripts."""

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from jupyter_dodas.errors import InvalidOption
from jupyter_dodas.hub.profiles import Profiles

__all__ = ["draw", "read"]

_PROFILE: Final = "profile"
_LABELS: Final = {"cores": "Cores", "memory": "Memory", "image": "Image"}


def draw(profiles: Profiles, chosen: Mapping[str, Any]) -> str:
    """Return the fields of the form: a choice of profiles, and below each what can be chosen within it.

    Parameters
    ----------
    chosen
        What stands there at first.
    """
    return "\n".join(_drawn(profiles, name, schema, chosen) for name, schema in profiles.schemas().items())


def _drawn(profiles: Profiles, name: str, schema: Mapping[str, Any], chosen: Mapping[str, Any]) -> str:
    profile = profiles.all[name]
    own = chosen if chosen[_PROFILE] == name else {}
    fields = "".join(
        _field(f"{name}.{option}", _LABELS.get(option, option), part, own.get(option, part["default"]))
        for option, part in schema["properties"].items()
        if option != _PROFILE
    )
    about = f'<p id="about-{name}">{escape(profile.description)}</p>' if profile.description else ""
    described = f' aria-describedby="about-{name}"' if profile.description else ""
    radio = f'<input type="radio" name="{_PROFILE}" value="{name}"{described}{" checked" if own else ""}>'
    title = f"<label>{radio} {escape(profile.title)}</label>"
    return f"<fieldset><legend>{title}</legend>{about}{fields}</fieldset>"


def _field(name: str, label: str, part: Mapping[str, Any], value: object) -> str:
    values = part.get("enum", [part.get("const")])
    if len(values) == 1:
        return f"<p>{escape(label)}: {escape(str(values[0]))}</p>"
    options = "".join(
        f'<option value="{escape(str(one))}"{" selected" if one == value else ""}>{escape(str(one))}</option>' for one in values
    )
    return f'<p><label>{escape(label)} <select name="{escape(name)}" class="form-select">{options}</select></label></p>'


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
    name = next(iter(sent.get(_PROFILE, ())), next(iter(profiles.all)))
    prefix = f"{name}."
    asked: dict[str, Any] = {field.removeprefix(prefix): values[-1] for field, values in sent.items() if field.startswith(prefix)}
    if "cores" in asked:
        try:
            asked["cores"] = int(asked["cores"])
        except ValueError:
            raise InvalidOption(
                "cores will not do: a whole number is needed", cause="", remedy="Choose one of those offered."
            ) from None
    return profiles.chosen({_PROFILE: name, **asked})
