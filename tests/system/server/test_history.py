"""What launches took before, told to whoever is about to launch; and what clusters took, told to whoever has stopped them."""

from tests.jupyter import JupyterServer


def usually(server: JupyterServer) -> float | None:
    kinds = {kind["kind"]: kind for kind in server.client.get("kinds").raise_for_status().json()["kinds"]}
    found: float | None = kinds["toy"]["usually"]
    assert kinds["dask"]["usually"] is None
    return found


def test_a_kind_says_what_its_launches_usually_take(server: JupyterServer) -> None:
    assert usually(server) is None
    made = server.launch("higgs")
    took = max(step["ended"] - step["started"] for step in made["status"]["steps"])
    server.client.delete("clusters/higgs")
    server.until_gone("higgs")
    assert usually(server) == round(took, 3)
    # What has failed says nothing of it.
    server.client.post("clusters", json={"kind": "toy", "name": "broken", "options": {"fail": "hub"}}).raise_for_status()
    server.until_phase("broken", "failed")
    server.client.delete("clusters/broken")
    server.until_gone("broken")
    assert usually(server) == round(took, 3)


def test_what_clusters_took_is_told_once_they_are_gone(server: JupyterServer) -> None:
    uids = {name: server.launch(name)["spec"]["uid"] for name in ("higgs", "skim")}
    receipts = server.client.get("receipts").raise_for_status().json()["receipts"]
    assert not {receipt["uid"] for receipt in receipts} & set(uids.values())
    for name in uids:
        server.client.delete(f"clusters/{name}").raise_for_status()
        server.until_gone(name)
    everything = server.client.get("receipts").raise_for_status().json()["receipts"]
    assert set(uids.values()) <= {receipt["uid"] for receipt in everything}
    for some in ([uids["skim"]], list(uids.values())):
        found = server.client.get("receipts", params={"uids": ",".join(some)}).raise_for_status().json()["receipts"]
        assert [receipt["uid"] for receipt in found] == some
        assert all(receipt["core_seconds"] >= 0 and receipt["outcome"] == "stopped" for receipt in found)
