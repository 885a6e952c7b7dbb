"""The Jupyter Server extension: the clusters as REST, hints over the event bus, dashboards behind Jupyter's own sign-in, metrics.

It holds nothing: what it tells it has just read from the backend, so any number of servers, the command line and Python see the
same clusters, and none of them needs it.
"""
