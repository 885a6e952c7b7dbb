"""A cluster as a widget."""

from collections.abc import Mapping
from functools import partial

from jupyter_dodas import aio
from jupyter_dodas.spec import Record
from jupyter_dodas.widgets.built import CARD
from jupyter_dodas.widgets.card import Card, Verb

__all__ = ["ClusterWidget"]


class ClusterWidget(Card):
    """The card of a cluster: ``cluster.widget``, also for `ipywidgets.HBox` and others.

    Parameters
    ----------
    cluster
        What it shows, follows and asks.
    record
        Its state now.
    """

    _esm = CARD

    def __init__(self, cluster: aio.Cluster, record: Record) -> None:
        super().__init__()
        self._cluster = cluster
        self._show(record)
        self._background.start(partial(self._follow, cluster))

    def _verbs(self) -> Mapping[str, Verb]:
        return self._of(self._cluster)
