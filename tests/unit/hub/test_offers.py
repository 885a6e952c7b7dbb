"""The infrastructure of a profile: what is offered, what is refused, and what a kubeconfig may hold."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from jupyter_dodas.errors import InvalidOption, InvalidSetting, ProvisionFailed
from jupyter_dodas.hub import form
from jupyter_dodas.hub.grounds.kubeconfig import plain
from jupyter_dodas.hub.profiles import Profiles

SMALL = {"name": "small", "title": "Small"}
MADE = {
    "name": "made",
    "title": "Kubernetes",
    "infrastructure": {
        "template": "kubernetes",
        "inputs": {"cores": 4},
        "choose": {"workers": [2, 5], "memory": ["4 GiB", "8 GiB"]},
    },
}


@pytest.fixture
def profiles() -> Profiles:
    return Profiles([SMALL, MADE])


def test_inputs_are_chosen_among_the_options_of_a_profile(profiles: Profiles) -> None:
    chosen = profiles.chosen({"profile": "made", "input_workers": 5})
    assert chosen == {"profile": "made", "cores": 1, "memory": "2 GiB", "input_workers": 5, "input_memory": "4 GiB"}
    offer = profiles.all["made"].infrastructure
    assert offer is not None
    wanted = offer.wanted("ada-made", {"workers": 5, "memory": "4 GiB"})
    assert wanted.inputs == {"cores": 4, "workers": 5, "memory": "4 GiB"}
    assert wanted.linger == 600
    assert [one.count for one in offer.machines({"workers": 5})] == [1, 5]


@pytest.mark.parametrize(
    ("asked", "option"),
    [
        ({"input_workers": 3}, "input_workers"),
        ({"input_workers": "5"}, "input_workers"),
        ({"input_workers": True}, "input_workers"),
        ({"input_cores": 4}, "input_cores"),
        ({"workers": 2}, "workers"),
    ],
)
def test_what_is_not_offered_is_refused_at_its_field(profiles: Profiles, asked: Mapping[str, Any], option: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        profiles.chosen({"profile": "made", **asked})
    assert refused.value.option == option
    with pytest.raises(InvalidOption):
        profiles.chosen({"profile": "small", "input_workers": 2})


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ({}, "needs a template"),
        ({"template": "kubernetes", "choose": {"wheels": [1]}}, "no input wheels"),
        ({"template": "kubernetes", "choose": ["workers"]}, "has to be listed"),
        ({"template": "kubernetes", "choose": {"workers": [1]}, "inputs": {"workers": 2}}, "both fixed and chosen"),
        ({"template": "elsewhere", "choose": ["size"]}, "has to be listed"),
        ({"template": "kubernetes", "linger": -1}, "linger"),
        ({"template": "kubernetes", "colour": "red"}, "colour"),
    ],
)
def test_an_offer_that_will_not_do_is_told_when_the_hub_starts(written: Mapping[str, Any], why: str) -> None:
    with pytest.raises(InvalidSetting, match=why):
        Profiles([{**SMALL, "infrastructure": written}])


def test_a_cluster_that_is_there_needs_no_template() -> None:
    profiles = Profiles([{**SMALL, "infrastructure": {"provisioner": "existing"}}])
    drawn = form.draw(profiles, profiles.chosen({}))
    assert "A cluster that is there; no machines are made." in drawn


def test_the_form_tells_what_will_be_created_and_gives_back_what_was_chosen(profiles: Profiles) -> None:
    drawn = form.draw(profiles, profiles.chosen({"profile": "made", "input_workers": 5}))
    assert "<dt>1 front end</dt>" in drawn
    assert "<dt>5 workers</dt><dd>4 cores, 4 GiB, 20 GiB disk</dd>" in drawn
    assert "It is deleted 10 min after the last notebook on it." in drawn
    sent = {"profile": ["made"], "made.input_workers": ["5"], "made.input_memory": ["8 GiB"]}
    assert form.read(profiles, sent)["input_workers"] == 5
    assert form.kept(profiles, sent)["input_memory"] == "8 GiB"


# -- a kubeconfig that came from elsewhere ----------------------------------------------------------------------------

DATA = base64.b64encode(b"pem").decode()
CLUSTER = {"server": "https://10.0.0.1:6443", "certificate-authority-data": DATA}
USER = {"client-certificate-data": DATA, "client-key-data": DATA}


def written(cluster: Mapping[str, Any] = CLUSTER, user: Mapping[str, Any] = USER) -> str:
    return json.dumps(
        {
            "clusters": [{"name": "default", "cluster": cluster}],
            "users": [{"name": "default", "user": user}],
            "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default", "namespace": "kube-system"}}],
            "current-context": "default",
        }
    )


def test_a_kubeconfig_keeps_addresses_and_credentials_and_nothing_else() -> None:
    hostile = {**USER, "exec": {"command": "sh"}, "tokenFile": "/etc/shadow", "auth-provider": {"name": "gcp"}}
    cluster = {**CLUSTER, "certificate-authority": "/etc/ssl/own", "insecure-skip-tls-verify": True, "proxy-url": "http://10.6.6.6"}
    found = json.loads(plain(written(cluster, hostile), "a1b2"))
    assert found["clusters"] == [{"name": "a1b2", "cluster": CLUSTER}]
    assert found["users"] == [{"name": "a1b2", "user": USER}]
    assert found["contexts"] == [{"name": "a1b2", "context": {"cluster": "a1b2", "user": "a1b2"}}]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "- a",
        "{",
        "current-context: none\ncontexts: []",
        written({**CLUSTER, "server": "http://10.0.0.1"}),
        written({**CLUSTER, "server": "https://me:secret@10.0.0.1"}),
        written({**CLUSTER, "server": ["https://10.0.0.1"]}),
        written({**CLUSTER, "certificate-authority-data": "%%%"}),
        written(user={"exec": {"command": "sh"}}),
        written(user={"tokenFile": "/etc/shadow"}),
        written(user={"client-key-data": DATA}),
        "a: &a [x, x]\nb: &b [*a, *a]\nclusters: *b",
        "x" * (2 << 20),
    ],
)
def test_what_leads_to_no_cluster_is_refused_without_its_text(text: str) -> None:
    with pytest.raises(ProvisionFailed) as refused:
        plain(text, "a1b2")
    assert "secret" not in str(refused.value)
