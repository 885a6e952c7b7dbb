"""The access token of a namespace, in the pods: asked for by the controller, kept up to date by the first process of each."""

from collections.abc import AsyncGenerator, Iterator
from typing import Any, Final

import httpx
import pytest

from jupyter_dodas import settings
from jupyter_dodas.backends import places
from jupyter_dodas.backends.base import MANDATE, TOKEN
from jupyter_dodas.hub.notebooks import Notebook
from jupyter_dodas.hub.story import Story
from jupyter_dodas.iam.mandate import Mandate
from jupyter_dodas.options import validate
from jupyter_dodas.services.notebook.service import NotebookOptions
from jupyter_dodas.testing.waiting import until
from tests.namespace import Namespace
from tests.unit.iam.desk import Desk

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

# Answers with what stands where a program looks for its token, and who may read it.
SERVER: Final = """
import http.server, json, os, stat, urllib.parse
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        file = os.environ.get("BEARER_TOKEN_FILE")
        there = file is not None and os.path.exists(file)
        mode = oct(stat.S_IMODE(os.stat(file).st_mode)) if there else None
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"file": file, "mode": mode, "token": open(file).read() if there else None}).encode())
where = urllib.parse.urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
http.server.ThreadingHTTPServer((where.hostname, where.port), Answer).serve_forever()
"""
VARIABLES: Final = {"JUPYTERHUB_SERVICE_PREFIX": "/user/ada/", "JUPYTERHUB_USER": "ada", "JUPYTERHUB_API_TOKEN": "x"}


@pytest.fixture
def desk() -> Iterator[Desk]:
    """The desk of a hub, whose tokens last for seconds."""
    made = Desk()
    made.lifetime = 6
    yield made
    made.close()


@pytest.fixture
async def notebook(namespace: Namespace) -> AsyncGenerator[Notebook]:
    found = Notebook(places.backend(settings.load()), "notebook-ada", "ada")
    yield found
    await found.end()


async def test_a_pod_has_the_token_as_long_as_the_hub_gives_one(namespace: Namespace, notebook: Notebook, desk: Desk) -> None:
    await notebook.entrust({MANDATE: Mandate(desk.url, desk.key).to_bytes(), TOKEN: b"t0"})
    await notebook.start(validate(NotebookOptions, "notebook", {"command": ["python", "-c", SERVER]}), VARIABLES, Story().see)
    address = await notebook.address(timeout=10)

    async def seen() -> Any:
        async with httpx.AsyncClient() as client:
            found = (await client.get(f"{address}/user/ada/")).json()
        # A node looks for new secrets about every minute, and at once when something of the pod has changed.
        namespace.kubectl("annotate", "pods", "--all", "--overwrite", f"test/asked={len(desk.asked)}")
        return found

    first = await seen()
    assert first["mode"] == "0o600"
    assert first["token"].startswith("t"), "the token that came with the mandate is not there from the beginning"
    await until(seen, within=90, meets=lambda found: found["token"] is not None and int(found["token"][1:]) > 1)
    desk.status = 403
    await until(seen, within=90, meets=lambda found: found == {"file": first["file"], "mode": None, "token": None})
