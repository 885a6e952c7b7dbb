"""Templates that the service offers, and those that people bring."""

from collections.abc import Mapping
from functools import cached_property

from jupyter_dodas.errors import InvalidOption, NotAllowed
from jupyter_dodas.hub.infrastructures.configuration import Configuration
from jupyter_dodas.provision import template as templates
from jupyter_dodas.provision.template import Template
from jupyter_dodas.provision.views import TemplateView, Wanted

__all__ = ["Offers"]


class Offers:
    """All that can be asked for.

    Parameters
    ----------
    configuration
        What an administrator offers.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration

    @cached_property
    def _all(self) -> Mapping[str, Template]:
        own = [name for name in templates.names() if name in (self._configuration.templates or templates.names())]
        more = self._configuration.more_templates
        further = [Template.read(file) for file in sorted(more.glob("*.yaml"))] if more is not None else []
        return {one.name: one for one in (*(templates.load(name) for name in own), *further)}

    @cached_property
    def views(self) -> tuple[TemplateView, ...]:
        """All of them, for forms."""
        return tuple(TemplateView.of(one) for one in self._all.values())

    def chosen(self, wanted: Wanted) -> Template:
        """Return what is asked for. A text of the user's own is checked.

        Raises
        ------
        TemplateInvalid, NotAllowed, InvalidOption
        """
        if wanted.text:
            if not self._configuration.own_templates:
                raise NotAllowed(
                    "This hub takes no templates of users",
                    cause="Its administrator has decided so.",
                    remedy=f"Choose one of: {', '.join(self._all)}.",
                )
            return Template(wanted.template or "own", wanted.text)
        name = wanted.template or self._configuration.maker(wanted.provisioner).template
        if name not in self._all:
            raise InvalidOption(
                f"There is no template {name!r}",
                option="template",
                remedy=f"Templates: {', '.join(self._all) or 'none is offered'}.",
            )
        return self._all[name]
