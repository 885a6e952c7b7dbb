"""The hub of jupyterhub_config.py, with a service that makes infrastructures for people at providers.

Further variables: DODAS_HUB_PROVISIONERS, a file with a JSON list of provisioners, see docs/guides/infrastructures-admin.md;
DODAS_HUB_URL, the hub's address as everybody reaches it; DODAS_HUB_INFRASTRUCTURES_PORT (four above the hub's).
DODAS_HUB_INFRASTRUCTURES, a JSON object of further settings of the service.
"""

import json
import os
from pathlib import Path
from typing import Any

from jupyter_dodas.hub.infrastructures.joining import configure_infrastructures

c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821 - JupyterHub puts it here
load_subconfig(str(Path(__file__).resolve().with_name("jupyterhub_config.py")))  # type: ignore[name-defined]  # noqa: F821

port = int(os.environ.get("DODAS_HUB_PORT", "8000"))
configure_infrastructures(
    c,
    # Beside the users' folder, where the other records of this hub are.
    state=Path(c.DodasSpawner.state).parent / "infrastructures",
    provisioners=json.loads(Path(os.environ["DODAS_HUB_PROVISIONERS"]).read_text("utf-8")),
    url=os.environ.get("DODAS_HUB_URL", f"http://127.0.0.1:{port}"),
    port=int(os.environ.get("DODAS_HUB_INFRASTRUCTURES_PORT", port + 4)),
    **json.loads(os.environ.get("DODAS_HUB_INFRASTRUCTURES", "{}")),
)
