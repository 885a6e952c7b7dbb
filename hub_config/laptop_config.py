"""The hub of jupyterhub_config.py as script/up starts it: whoever signs in works as whoever has started it, in the folder it shows.

Further variables: DODAS_HUB_FOLDER, what notebooks show; DODAS_HUB_NOTEBOOKS, a JSON object of what they have in their environment.
"""

import json
import os
from pathlib import Path
from typing import Any

c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821 - JupyterHub puts it here
load_subconfig(str(Path(__file__).resolve().with_name("jupyterhub_config.py")))  # type: ignore[name-defined]  # noqa: F821

c.DodasSpawner.account = ""
c.DodasSpawner.limits = {"cms": {"clusters": 4, "workers": 16, "cores": 16, "memory": "32 GiB"}}
# It is a pattern with the user's name in it; the folder is to be taken to the letter.
c.Spawner.notebook_dir = os.environ["DODAS_HUB_FOLDER"].replace("{", "{{").replace("}", "}}")
c.Spawner.environment = {**c.Spawner.get("environment", {}), **json.loads(os.environ["DODAS_HUB_NOTEBOOKS"])}
