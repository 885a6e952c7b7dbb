"""Cards in cells: a cluster, or the form for a new one, as a widget that lives through its kernel. Needs the extra `lab`."""

from jupyter_dodas.widgets.cluster import ClusterWidget
from jupyter_dodas.widgets.launcher import Launcher

__all__ = ["ClusterWidget", "Launcher"]
