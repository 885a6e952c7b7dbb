"""Callers with tokens of a real provider, the development IAM: who may do what, and what is shown to whom."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.tfaas.endpoint import Endpoint, packed
from tests.tfaas.seeded import seeded
from tests.unit.iam.served import Served, served

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

HERE = "https://models.example.org"
ROW = {"model": "net", "values": [0.5] * 9}


@asynccontextmanager
async def with_iam(models: Path, folder: Path, **flags: Any) -> AsyncIterator[tuple[Served, Endpoint]]:
    """A server that takes tokens of a provider in this loop."""
    async with served(folder) as iam:
        manager = seeded(models, issuer=iam.issuer, audience=HERE, **flags)
        endpoint = await asyncio.to_thread(manager.__enter__)
        try:
            yield iam, endpoint
        finally:
            await asyncio.to_thread(manager.__exit__, None, None, None)


async def token(iam: Served, audience: str = HERE, scope: str = "openid profile") -> str:
    """What alice's hub would have for this endpoint."""
    grant = await iam.session()
    assert grant.refresh_token is not None
    return (await iam.provider.renew(grant.refresh_token, scope=scope.split(), audience=audience)).access_token


def caller(endpoint: Endpoint, bearer: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=endpoint.url, headers={"Authorization": f"Bearer {bearer}"}, timeout=90)


async def test_a_token_of_iam_lets_its_owner_predict_and_no_more(models: Path, tmp_path: Path) -> None:
    async with with_iam(models, tmp_path) as (iam, endpoint), caller(endpoint, await token(iam)) as alice:
        for _ in range(3):
            assert (await alice.post("/json", json=ROW)).status_code == 200
        told = (await alice.get("/dodas/v1/status")).json()["caller"]
        assert (told["name"].rpartition("@")[2], told["rights"], told["administrator"]) == ("127.0.0.1", ["predict"], False)
        for reply in (
            await alice.post("/upload", files={"model": ("net.onnx", b"")}),
            await alice.delete("/delete/net"),
            await alice.post("/params", json={"model": "net"}),
            await alice.post("/dodas/v1/models/net/publish", json={"version": "0" * 12}),
            await alice.delete("/dodas/v1/models/net"),
            await alice.post("/dodas/v1/models/net/versions", content=b""),
        ):
            assert reply.status_code == 403, reply.text
            assert "may not" in reply.text
        assert (await alice.get("/models")).json()[0]["name"] == "cnn", "nothing was deleted"


async def test_groups_decide_who_may_upload_and_what_is_staged_is_their_own(models: Path, tmp_path: Path) -> None:
    async with with_iam(models, tmp_path, upload_groups="cms") as (iam, endpoint), caller(endpoint, await token(iam)) as alice:
        archive = await asyncio.to_thread(packed, models / "net.onnx")
        reply = await alice.post("/dodas/v1/models/mine/versions", content=archive, headers={"Content-Type": "application/x-tar"})
        version = httpx.Response(200, text=reply.text.splitlines()[-1]).json()["version"]["version"]
        mine = {"inputs": [{"name": "x", "shape": [1, 9], "datatype": "FP32", "data": ROW["values"]}]}
        path = f"/v2/models/mine/versions/{version}"
        assert (await alice.post(f"{path}/infer", json=mine)).status_code == 200
        assert (await alice.post("/json", json={**ROW, "model": "mine"})).status_code == 404, "it is not published"
        bare = await token(iam, scope="openid")
        async with caller(endpoint, bare) as same:
            assert (await same.get(path)).status_code == 200, "the subject is the same"
        owner = await asyncio.to_thread(endpoint.client.get, path)
        assert owner.status_code == 200, "the owner of the endpoint sees all"
        assert "mine" in {one["name"] for one in (await alice.get("/v2/models")).json()["models"]}
        assert (await alice.post("/dodas/v1/models/mine/publish", json={"version": version})).status_code == 403


async def test_tokens_for_others_and_tokens_that_are_none_are_refused(models: Path, tmp_path: Path) -> None:
    async with with_iam(models, tmp_path) as (iam, endpoint):
        other = await token(iam, "https://other.example.org")
        good = await token(iam)
        for bearer, why in {other: "another service", good[:-3] + "AAA": "does not hold", "opaque": "does not hold"}.items():
            async with caller(endpoint, bearer) as stranger:
                for path in ("/json", "/proto", "/image", "/v2/models/net/infer", "/upload"):
                    reply = await stranger.post(path, json=ROW)
                    assert (reply.status_code, why in reply.json()["error"]) == (401, True), reply.text
                    assert "Bearer" in reply.headers["www-authenticate"]
                    assert bearer not in reply.text
        async with httpx.AsyncClient(base_url=endpoint.url) as nobody:
            for path in (
                "/models",
                "/params/net",
                "/data?model=net/engine/model.tflite",
                "/status",
                "/metrics",
                "/v2/models",
                "/dodas/v1/models",
            ):
                assert (await nobody.get(path)).status_code == 401, path
            for path in ("/", "/openapi.json", "/v2/health/ready"):
                assert (await nobody.get(path)).status_code == 200, path
        assert good not in endpoint.said()


async def test_callers_are_told_if_the_provider_does_not_answer_and_known_ones_go_on(models: Path, tmp_path: Path) -> None:
    async with with_iam(models, tmp_path) as (iam, endpoint):
        known, new = await token(iam), await token(iam)
        async with caller(endpoint, known) as alice:
            assert (await alice.post("/json", json=ROW)).status_code == 200
            iam.grants.issuer = "https://elsewhere.example.org/"
            assert (await alice.post("/json", json=ROW)).status_code == 200
        async with caller(endpoint, new) as alice:
            assert (await alice.post("/json", json=ROW)).status_code == 200, "the keys are known by now"


async def test_who_may_do_nothing_without_a_token_by_policy(models: Path, tmp_path: Path) -> None:
    def calls() -> None:
        with seeded(models, anonymous="predict") as endpoint, endpoint.caller(None) as nobody:
            assert nobody.post("/json", json=ROW).status_code == 200
            assert nobody.get("/models").status_code == 200
            assert nobody.delete("/delete/net").status_code == 403
            assert nobody.post("/upload", files={"model": ("net.onnx", b"")}).status_code == 403
            with endpoint.caller("wrong-" + endpoint.token) as stranger:
                assert stranger.post("/json", json=ROW).status_code == 401, "a bad token is not as good as none"

    await asyncio.to_thread(calls)
