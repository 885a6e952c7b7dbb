"""The hub of jupyterhub_config.py, with notebooks as pods of a Kubernetes cluster that is there.

Outside the cluster try it with ``jupyterhub -f hub_config/kubernetes_config.py``, where ``kubectl`` works; inside,
deploy/hub/hub.yaml runs it. The roles of deploy/hub/roles.yaml must be there. Further variables: DODAS_HUB_ADDRESS, under which
pods reach the hub; DODAS_HUB_NAMESPACE, with ``{username}`` in it (jupyter-{username}); DODAS_HUB_IMAGE,
DODAS_HUB_CONTROLLER_IMAGE.
"""

import os
from pathlib import Path
from typing import Any

c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821 - JupyterHub puts it here
load_subconfig(str(Path(__file__).resolve().with_name("jupyterhub_config.py")))  # type: ignore[name-defined]  # noqa: F821

c.DodasSpawner.backend = "kubernetes"
c.DodasSpawner.namespace = os.environ.get("DODAS_HUB_NAMESPACE", "jupyter-{username}")
c.DodasSpawner.controller_image = os.environ.get("DODAS_HUB_CONTROLLER_IMAGE", "localhost/jupyter-dodas/controller:1")
images = [os.environ.get("DODAS_HUB_IMAGE", "localhost/jupyter-dodas/notebook:1")]
c.DodasSpawner.profiles = [{**profile, "images": images} for profile in c.DodasSpawner.profiles]

# Pods ask the hub's API who somebody is. It takes nothing without a token.
c.JupyterHub.hub_ip = "0.0.0.0"  # noqa: S104
if address := os.environ.get("DODAS_HUB_ADDRESS"):
    c.JupyterHub.hub_connect_ip = address
# Pods outlive the hub, and the next one finds them.
c.JupyterHub.cleanup_servers = False

if "KUBERNETES_SERVICE_HOST" in os.environ:
    # The proxy is a container beside this one, and outlives the hub as well.
    c.JupyterHub.cleanup_proxy = False
    c.ConfigurableHTTPProxy.should_start = False
    c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:8001"
    c.ConfigurableHTTPProxy.auth_token = os.environ["CONFIGPROXY_AUTH_TOKEN"]
