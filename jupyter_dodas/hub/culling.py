"""Ends notebooks that nobody uses: jupyterhub-idle-culler as a service of the hub, which counts no time without a hub."""

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

__all__ = ["end_idle", "fair", "main"]

_NAME: Final = "idle-culler"

_SCOPES: Final = ["list:users", "read:users:activity", "read:servers", "delete:servers"]

_ACTIVITY: Final = 300
"""Seconds between two reports of a notebook to the hub, unless that is too long for what is idle."""


def end_idle(c: Any, *, after: int) -> None:
    """Have a hub end notebooks that nobody has used for a while. Call it once its services are listed.

    Parameters
    ----------
    c
        The configuration object of JupyterHub.
    after
        Seconds. A notebook with a busy cell or a busy cluster is in use.
    """
    every = max(1, min(600, after // 4))
    command = [sys.executable, "-m", "jupyter_dodas.hub.culling", f"--timeout={after}", f"--cull-every={every}"]
    c.JupyterHub.services = [*c.JupyterHub.get("services", []), {"name": _NAME, "command": command}]
    c.JupyterHub.load_roles = [*c.JupyterHub.get("load_roles", []), {"name": _NAME, "scopes": _SCOPES, "services": [_NAME]}]
    report = {"JUPYTERHUB_ACTIVITY_INTERVAL": str(max(1, min(_ACTIVITY, after // 4)))}
    c.Spawner.environment = {**c.Spawner.get("environment", {}), **report}


def fair(began: float, clock: Callable[[], float]) -> Callable[..., bool]:
    """Return a rule by which a notebook is idle: no longer than there was a hub to tell otherwise.

    Parameters
    ----------
    began
        When this service did, which starts with the hub, by `clock`.
    """

    def is_idle(*, inactive: timedelta, inactive_limit: float, **_: object) -> bool:
        return min(inactive.total_seconds(), clock() - began) >= inactive_limit

    return is_idle


def main() -> None:
    """Run the service."""
    from jupyterhub_idle_culler import IdleCuller  # type: ignore[import-untyped]

    # No file of the folder that the hub runs in is taken for its configuration.
    IdleCuller.launch_instance(config_file="", cull_arbiter_hook=fair(time.monotonic(), time.monotonic))


if __name__ == "__main__":
    main()
