"""The service in the name of its users: access tokens from the hub, taken by the real Infrastructure Manager."""

import json
from pathlib import Path

import pytest

from jupyter_dodas.errors import InfrastructureNotFound
from jupyter_dodas.provision.clouds import DummyCloud
from jupyter_dodas.provision.views import Wanted
from jupyter_dodas.spec import Phase
from jupyter_dodas.testing.waiting import until
from tests.provision.im import InfrastructureManager
from tests.provision.service import KUBECONFIG, ServiceHub

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

AUDIENCE = "https://im.example.org"


async def test_it_works_with_tokens_of_its_user_and_waits_for_who_has_signed_out(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    lines = f"c.IAMAuthenticator.audiences = {{{AUDIENCE!r}: ['openid', 'profile', 'email']}}\n"
    maker = {"name": "im", "kind": "im", "audience": AUDIENCE, "options": {"url": "http://127.0.0.1:9"}}
    with (
        ServiceHub(tmp_path, maker, lines=lines, look_around=1) as hub,
        InfrastructureManager(tmp_path / "im", kubeconfig=tmp_path / "kubeconfig", issuers=[hub.iam.issuer]) as manager,
    ):
        # Its issuer had to be there first, so the hub hears only now where it is.
        hub.kill()
        (tmp_path / "provisioners.json").write_text(json.dumps([{**maker, "options": {"url": manager.url}}]))
        hub.start()
        browser = hub.browser()
        browser.sign_in("alice")
        async with hub.hub_client("alice") as alice:
            await alice.add_cloud(DummyCloud(name="dummy"))
            await alice.create(Wanted(name="higgs", template="kubernetes"))
            found = await alice.ready("higgs")
            assert found.phase is Phase.READY, (found.problem, manager.said()[-3000:])
            assert {(one["user"], one["audience"], one["whom"]) for one in hub.notes("token")} == {
                ("alice", AUDIENCE, "service infrastructures")
            }
            assert not manager.listed(), "it is alice's there, and nobody else's"
            browser.get("/hub/logout")
            hub.kill_service()  # what it had of her is forgotten
            hub.up()
            await alice.delete("higgs")
            told = await until(lambda: alice.get("higgs"), within=60, meets=lambda it: it.problem is not None)
            assert told.problem is not None
            assert told.problem.code == "iam-refused"
            browser.sign_in("alice")
            with pytest.raises(InfrastructureNotFound):
                async for _ in alice.follow("higgs"):
                    pass
        await until(manager.known, within=120, meets=lambda left: not left)
