"""Where the notebook's hub makes infrastructures, and what there is where it does not."""

import pytest

from jupyter_dodas.errors import NotSupported
from jupyter_dodas.server.infrastructures import Desk, InfrastructureList, address_in

KEY = {"JUPYTERHUB_API_TOKEN": "x"}
INNER = {"JUPYTERHUB_API_URL": "http://127.0.0.1:8081/hub/api"}
OUTER = {"JUPYTERHUB_PUBLIC_HUB_URL": "https://hub.example.org/jupyter/hub/"}


@pytest.mark.parametrize(
    ("environ", "configured", "address"),
    [
        ({}, None, None),
        ({}, "https://hub.example.org/services/infrastructures", None),
        (KEY, None, None),
        (INNER, None, None),
        (KEY, "https://hub.example.org/services/infrastructures", "https://hub.example.org/services/infrastructures"),
        (KEY | INNER, None, "http://127.0.0.1:8081/services/infrastructures"),
        (KEY | INNER | OUTER, None, "https://hub.example.org/jupyter/services/infrastructures"),
        (KEY | INNER | OUTER, "http://other/x", "http://other/x"),
    ],
)
def test_where_the_service_is(environ: dict[str, str], configured: str | None, address: str | None) -> None:
    assert address_in(environ, configured) == address


@pytest.mark.anyio
async def test_a_notebook_without_a_hub_says_so() -> None:
    desk = Desk({}, lambda: None)
    assert await desk.list() == InfrastructureList(available=False)
    with pytest.raises(NotSupported):
        desk.service()
    await desk.close()


@pytest.mark.anyio
async def test_a_hub_without_the_service_is_as_if_there_were_none() -> None:
    desk = Desk(KEY | {"JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api"}, lambda: None)
    assert not (await desk.list()).available
    await desk.close()
