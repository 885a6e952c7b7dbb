"""The models of an endpoint, in its card: looked at, published and rolled back by clicks, and tried on their page beside it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from playwright.sync_api import Page, expect

import jupyter_dodas as dodas
from tests.browser.screen import picture
from tests.lab.cards import SOON, Opener, barriers, card, expect_phase

pytestmark = pytest.mark.timeout(600)

ROWS = np.random.default_rng(5).normal(size=(64, 4)).astype(np.float32)


def test_the_models_of_an_endpoint_in_its_card(open_lab: Opener, tmp_path: Path) -> None:
    page = open_lab()
    with dodas.tfaas(name="tagger", replicas=1) as cluster:
        endpoint: Any = cluster
        expect_phase(page, "tagger", "Ready")
        first = endpoint.deploy(
            scaling(2.0, tmp_path), name="k0s", examples=ROWS, metrics={"auc": 0.921}, note="the first"
        ).publish()
        first.benchmark(ROWS, batches=(1, 16, 64), clients=(1, 4), seconds=0.05)
        second = endpoint.deploy(scaling(3.0, tmp_path), name="k0s", metrics={"auc": 0.934}, note="more events")

        look_at(page)
        models = card(page, "tagger").get_by_role("region", name="Models")
        expect(models.get_by_role("img", name=re.compile("^Half of the answers came within"))).to_be_visible()
        expect(state(page, first.version)).to_contain_text("published")
        expect(state(page, second.version)).to_contain_text("staged")
        assert barriers(page, ".dodas-Models") == []
        picture(page, "lab/models-light")

        press(page, "Publish")
        expect(state(page, second.version)).to_contain_text("published", timeout=SOON)
        assert endpoint.model("k0s").info().version == second.version
        press(page, "Roll back")
        expect(state(page, first.version)).to_contain_text("published", timeout=SOON)
        assert endpoint.model("k0s").info().version == first.version

        models.get_by_role("button", name="Try it").click()
        expect(page.frame_locator(".dodas-Tab iframe").get_by_text("k0s").first).to_be_visible(timeout=SOON)

        dark = open_lab("JupyterLab Dark")
        look_at(dark)
        expect(state(dark, first.version)).to_contain_text("published", timeout=SOON)
        assert barriers(dark, ".dodas-Models") == []
        picture(dark, "lab/models-dark")


def test_an_endpoint_without_models_says_what_to_do(open_lab: Opener) -> None:
    page = open_lab()
    with dodas.tfaas(name="tagger", replicas=0):
        expect_phase(page, "tagger", "Ready")
        look_at(page)
        expect(card(page, "tagger")).to_contain_text("No models yet: deploy one from a notebook.", timeout=SOON)


def scaling(by: float, folder: Path) -> Path:
    """A model that multiplies four features with a number and adds them up."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, (4, 1), [by] * 4)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "scaling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("rows", 4))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("rows", 1))],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, folder / f"{by}.onnx")
    return folder / f"{by}.onnx"


def look_at(page: Page) -> None:
    """Unfold the models in the card."""
    card(page, "tagger").get_by_role("button", name="Models").click()
    expect(card(page, "tagger").get_by_role("region", name="Models")).to_be_visible(timeout=SOON)


def state(page: Page, version: str) -> Any:
    """What is told of a version."""
    return card(page, "tagger").get_by_role("listitem").filter(has_text=version)


def press(page: Page, name: str) -> None:
    """Press a button that asks once more, and answer it."""
    models = card(page, "tagger").get_by_role("region", name="Models")
    models.get_by_role("button", name=name).click()
    models.get_by_role("group").get_by_role("button", name=name).click()
