"""What a user holds of an HTCondor pool: all that any cluster can, and jobs."""

from jupyter_dodas import aio

__all__ = ["HtcondorCluster"]


class HtcondorCluster(aio.Cluster):
    """An HTCondor pool."""
