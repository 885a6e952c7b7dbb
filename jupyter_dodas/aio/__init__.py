"""The asynchronous face: launch clusters, find them, hold them. All logic of the faces is here; `cluster` wraps it."""

from jupyter_dodas.aio.cluster import Cluster, Connection, Follower, Load
from jupyter_dodas.aio.launching import connect, kinds, launch, list, quota

__all__ = ["Cluster", "Connection", "Follower", "Load", "connect", "kinds", "launch", "list", "quota"]
