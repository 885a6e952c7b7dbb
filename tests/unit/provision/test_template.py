"""Templates: what comes with the package, what forms are told, what inputs become, and what is sent in the end."""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from jupyter_dodas.cli import main
from jupyter_dodas.cli.exits import Exit
from jupyter_dodas.errors import InvalidOption, MissingSoftware, TemplateInvalid, UnknownOption
from jupyter_dodas.provision.hygiene import FUNCTIONS, unsafe
from jupyter_dodas.provision.template import Template, load, names, recipe, recipes

GIB = 2**30

OF_MY_OWN = """
tosca_definitions_version: tosca_simple_yaml_1_0
description: Two machines of mine.
node_types:
  my.Machine:
    derived_from: tosca.nodes.Compute
data_types:
  my.Base:
    properties:
      schema: {type: string, description: One with a name that Python knows.}
  my.Thing:
    derived_from: my.Base
    properties:
      sizes: {type: list, entry_schema: {type: integer}, required: false}
topology_template:
  inputs:
    text: {type: string, required: false}
    whole: {type: integer, default: 3, constraints: [{greater_than: 2}, {less_than: 9}]}
    real: {type: float, default: 0.5, constraints: [{greater_or_equal: 0}, {less_or_equal: 1}]}
    yes_or_no: {type: boolean, default: true}
    size: {type: scalar-unit.size, default: 8 GB}
    wait: {type: scalar-unit.time, default: 10 s}
    names: {type: list, entry_schema: {type: string}, default: [a], constraints: [{max_length: 2}]}
    tags: {type: map, entry_schema: {type: string}, default: {}}
    things: {type: list, entry_schema: {type: my.Thing}, default: []}
    copy: {type: string, description: One that pydantic knows., constraints: [{min_length: 2}, {pattern: '[a-z]+'}]}
    day: {type: timestamp, default: '2026-11-22'}
  node_templates:
    server:
      type: my.Machine
      interfaces:
        Standard:
          configure:
            implementation: https://recipes.example.org/mine.yml
            inputs: {text: {get_input: text}, all: [{get_input: text}, {get_input: text}, {get_input: copy}]}
      capabilities:
        host: {properties: {num_cpus: {get_input: whole}, mem_size: {get_input: size}}}
  outputs:
    text: {value: {get_input: text}}
    copy: {value: {get_input: copy}}
"""


def filled(template: Template, given: Mapping[str, Any], **more: Any) -> Any:
    inputs = template.check(given)
    secrets = dict.fromkeys(template.secrets, "a-secret")
    return yaml.safe_load(template.fill({**inputs, **secrets}, name="dodas-1", recipes="https://hub.example.org/recipes/", **more))


def values(document: Any) -> dict[str, Any]:
    return {name: what["default"] for name, what in document["topology_template"]["inputs"].items()}


@pytest.mark.parametrize("name", names())
def test_what_comes_with_the_package_is_whole(name: str) -> None:
    template = load(name)
    schema = template.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    json.dumps(schema)
    assert template.title != name
    assert template.description.endswith(".")
    assert all(what["description"] for what in schema["properties"].values())
    assert schema["required"] == []
    inputs = template.check({})
    jsonschema.validate(inputs, schema)
    assert {"cores", "memory", "disk", "installer"} <= set(inputs)
    assert template.check(inputs) == inputs
    assert sum(machine.count for machine in template.machines(inputs)) >= 1
    assert not {"imports", "repositories"} & set(yaml.safe_load(template.text))


def test_there_are_a_cluster_one_machine_and_spark() -> None:
    assert {"kubernetes", "single-node", "spark"} <= set(names())
    assert load("single-node").scalable is None
    assert load("single-node").secrets == ()
    assert load("kubernetes").scalable == "workers"
    assert load("kubernetes").secrets == ("join_token",)
    assert {"operator_version", "launches"} <= set(load("spark").schema()["properties"])
    with pytest.raises(TemplateInvalid, match="Did you mean 'kubernetes'"):
        load("kubernets")


def test_a_form_is_told_bounds_sizes_and_choices() -> None:
    properties = load("kubernetes").schema()["properties"]
    assert {"join_token", "removal_list"}.isdisjoint(properties)
    workers = properties["workers"]
    assert (workers["type"], workers["minimum"], workers["maximum"], workers["default"]) == ("integer", 0, 100, 2)
    memory = properties["memory"]
    assert (memory["format"], memory["minimum"], memory["default"]) == ("memory", GIB, 4 * GIB)
    assert properties["installer"]["enum"] == ["k3s", "programs"]
    assert properties["image"]["anyOf"][1] == {"type": "null"}
    assert properties["kubernetes_version"]["anyOf"][0]["pattern"].startswith("^")


def test_inputs_come_back_as_they_are_kept() -> None:
    template = load("kubernetes")
    inputs = template.check({"workers": "3", "memory": "8 GB", "image": None, "front_cores": 4.0})
    assert inputs["workers"] == 3
    assert inputs["memory"] == 8 * 10**9
    assert inputs["front_cores"] == 4
    assert type(inputs["memory"]) is int
    assert "image" not in inputs
    assert "join_token" not in inputs


def test_what_will_not_do_is_told_with_what_would() -> None:
    template = load("kubernetes")
    with pytest.raises(InvalidOption, match="workers=200 will not do") as refused:
        template.check({"workers": 200})
    assert (refused.value.option, refused.value.retry) == ("workers", {"workers": 100})
    assert refused.value.remedy == "Give at most 100."
    with pytest.raises(InvalidOption, match=r"Give at least 1\.0GiB"):
        template.check({"front_memory": "512 MiB"})
    with pytest.raises(UnknownOption, match="Did you mean 'workers'"):
        template.check({"wokers": 1})
    with pytest.raises(InvalidOption) as refused:
        template.check({"charts": [{"name": "a", "chart": "b", "valuse": {}}]})
    assert refused.value.option == "charts.0"
    assert "valuse" in refused.value.message


def test_machines_are_told_before_there_are_any() -> None:
    template = load("kubernetes")
    front, workers = template.machines(template.check({"workers": 5, "cores": 8, "memory": "16 GiB", "disk": "100 GiB"}))
    assert (front.role, front.count, front.cores, front.memory, front.public) == ("front_server", 1, 2, 4 * GIB, True)
    assert (workers.role, workers.count, workers.cores, workers.memory) == ("wn_server", 5, 8, 16 * GIB)
    assert workers.disk == front.disk == 100 * GIB
    assert template.machines(template.check({"workers": 0}))[1].count == 0


def test_what_is_sent_holds_inputs_names_and_addresses() -> None:
    template = load("kubernetes")
    document = filled(template, {"workers": 3, "memory": "8 GiB", "image": "aws://us-east-1/ami-1"}, removal=("4", "2"))
    assert document["metadata"] == {"infra_name": "dodas-1"}
    sent = values(document)
    assert sent["workers"] == 3
    assert sent["memory"] == "8 GiB"
    assert sent["join_token"] == "a-secret"
    assert sent["removal_list"] == ["4", "2"]
    assert sent["image"] == "aws://us-east-1/ami-1"
    nodes = document["topology_template"]["node_templates"]
    digest, _ = recipe("kubernetes-front.yml")
    front = nodes["front"]["interfaces"]["Standard"]["configure"]
    assert front["implementation"] == f"https://hub.example.org/recipes/{digest}/kubernetes-front.yml"
    assert "kubernetes_version" not in front["inputs"]
    assert nodes["wn_server"]["capabilities"]["os"]["properties"]["image"] == {"get_input": "image"}
    assert nodes["wn_server"]["capabilities"]["scalable"]["properties"]["count"] == {"get_input": "workers"}


def test_what_takes_an_input_that_is_not_given_is_left_out() -> None:
    document = filled(load("kubernetes"), {})
    text = yaml.safe_dump(document)
    assert "get_input: image" not in text
    assert {"image", "kubernetes_version"}.isdisjoint(values(document))
    mine = filled(Template("mine", OF_MY_OWN), {"copy": "ab"})
    inputs = mine["topology_template"]["node_templates"]["server"]["interfaces"]["Standard"]["configure"]["inputs"]
    assert inputs == {"all": [{"get_input": "copy"}]}
    assert set(mine["topology_template"]["outputs"]) == {"copy"}


def test_only_recipes_become_addresses() -> None:
    sent = values(filled(load("kubernetes"), {"image": "kubernetes-front.yml"}))
    assert sent["image"] == "kubernetes-front.yml"


def test_a_secret_is_never_left_out() -> None:
    template = load("kubernetes")
    with pytest.raises(InvalidOption, match="join_token is missing"):
        template.fill(template.check({}), name="dodas-1", recipes="https://hub.example.org")


def test_filling_changes_nothing_of_the_template() -> None:
    template = load("kubernetes")
    first = filled(template, {"workers": 1})
    filled(template, {"workers": 7, "charts": [{"name": "a", "chart": "b"}]}, removal=("1",))
    assert filled(template, {"workers": 1}) == first


def test_a_recipe_has_an_address_that_changes_with_it() -> None:
    assert {"kubernetes-front.yml", "kubernetes-worker.yml"} <= set(recipes())
    digest, text = recipe("kubernetes-front.yml")
    assert re.fullmatch(r"[0-9a-f]{16}", digest)
    assert yaml.safe_load(text)
    with pytest.raises(TemplateInvalid, match="There is no recipe"):
        recipe("../template.py")


@pytest.mark.parametrize("name", names())
def test_recipes_do_without_what_need_not_be_given(name: str) -> None:
    topology = yaml.safe_load(load(name).text)["topology_template"]
    optional = {one for one, what in topology["inputs"].items() if what.get("required") is False}
    for node in topology["node_templates"].values():
        for operation in node.get("interfaces", {}).get("Standard", {}).values():
            _, text = recipe(operation["implementation"])
            code = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
            for one in optional & set(operation["inputs"]):
                assert not re.search(rf"\b{one}\b(?! *\| *default\(| is defined)", code), f"{one} may be missing"


def test_a_template_of_ones_own_has_all_types() -> None:
    template = Template("mine", OF_MY_OWN)
    assert (template.title, template.description) == ("mine", "Two machines of mine.")
    schema = template.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["required"] == ["copy"]
    given = {
        "copy": "ab",
        "things": [{"schema": "x", "sizes": [1, 2]}],
        "tags": {"a": "b"},
        "real": 1,
        "wait": "5 m",
        "yes_or_no": "false",
    }
    inputs = template.check(given)
    jsonschema.validate(inputs, schema)
    assert inputs["yes_or_no"] is False
    assert inputs["size"] == 8 * 10**9
    assert inputs["day"] == "2026-11-22"
    assert template.check(inputs) == inputs
    (machine,) = template.machines(inputs)
    assert (machine.count, machine.cores, machine.memory, machine.public) == (1, 3, 8 * 10**9, False)
    sent = values(filled(template, given))
    assert sent["things"] == given["things"]


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({}, "copy"),
        ({"copy": "A"}, "copy"),
        ({"copy": "ab", "whole": 2}, "whole"),
        ({"copy": "ab", "whole": 9}, "whole"),
        ({"copy": "ab", "real": 1.1}, "real"),
        ({"copy": "ab", "names": ["a", "b", "c"]}, "names"),
        ({"copy": "ab", "things": [{"sizes": []}]}, "things.0.schema"),
        ({"copy": "ab", "things": [{"schema": "x", "sizes": ["much"]}]}, "things.0.sizes.0"),
        ({"copy": "ab", "wait": "long"}, "wait"),
        ({"copy": "ab", "tags": {"a": "b;c"}}, "tags.a"),
    ],
)
def test_constraints_hold(given: Mapping[str, Any], option: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        Template("mine", OF_MY_OWN).check(given)
    assert refused.value.option == option


def test_the_digest_tells_versions_apart() -> None:
    assert Template("a", OF_MY_OWN).digest == Template("b", OF_MY_OWN).digest
    assert Template("a", OF_MY_OWN).digest != Template("a", OF_MY_OWN + "\n").digest


MINE = Template("mine", OF_MY_OWN)
# Drawn often enough: what YAML takes for something else, and what only looks harmless.
WORDS = st.one_of(
    st.text(),
    st.text(alphabet="abc :#-?[]{},&*!|>%@=~<.0123456789_+ äß→€"),
    st.sampled_from(
        [
            "null",
            "~",
            "yes",
            "Off",
            "1e3",
            "0x10",
            "1:30",
            ".inf",
            "2026-01-01",
            "=",
            "<<",
            "- a",
            "? a",
            "a: b",
            "a #b",
            "%a",
            "@a",
        ]
    ),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(WORDS, WORDS, st.integers(3, 8), st.floats(0.001, 1), st.integers(0, 2**61), st.booleans())
@example("ä →", "a", 3, 0.25, 0, True)
def test_whatever_is_let_through_arrives_as_it_was(text: str, key: str, whole: int, real: float, size: int, yes: bool) -> None:
    given = {"copy": "ab", "text": text, "tags": {key: text}, "whole": whole, "real": real, "size": size, "yes_or_no": yes}
    if unsafe(text) or unsafe(key) or key in FUNCTIONS:
        with pytest.raises(InvalidOption):
            MINE.check(given)
        return
    inputs = MINE.check(given)
    sent = values(filled(MINE, given))
    assert sent["text"] == text
    assert sent["tags"] == {key: text}
    assert sent["whole"] == whole
    assert sent["real"] == real
    assert sent["yes_or_no"] is yes
    assert type(sent["yes_or_no"]) is bool
    number, unit = sent["size"].split()
    assert int(number) * {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}[unit] == inputs["size"] == size


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["template", *arguments]) == Exit.OK
    return capsys.readouterr().out


def test_templates_are_looked_at_by_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert [line.split()[0] for line in said(capsys, "list").splitlines()] == ["TEMPLATE", *names()]
    assert [one["name"] for one in json.loads(said(capsys, "list", "--json"))] == list(names())
    shown = said(capsys, "show", "kubernetes")
    assert all(words in shown for words in ("Kubernetes", "front_memory", "1 GiB to 4 TiB", "k3s or programs", "together"))
    assert json.loads(said(capsys, "show", "kubernetes", "--json"))["inputs"] == load("kubernetes").schema()
    text = said(capsys, "show", "kubernetes", "--text")
    (tmp_path / "mine.yaml").write_text(text)
    assert said(capsys, "validate", str(tmp_path / "mine.yaml")).startswith("mine can be used. It asks for 10 inputs")
    assert "needed" in said(capsys, "show", _write(tmp_path / "own.yaml", OF_MY_OWN))


def _write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_plan_is_a_table_with_its_sum(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(
        capsys, "plan", "kubernetes", "--set", "workers=3", "--set", "memory=8GiB", "--set", 'charts=[{"name": "a", "chart": "b"}]'
    )
    rows = [line.split("  ") for line in lines.splitlines()]
    assert [row[0] for row in rows] == ["MACHINES", "front_server", "wn_server", "together"]
    assert re.sub(r" +", " ", lines.splitlines()[-1]) == "together 4 8 28 GiB 80 GiB"
    planned = json.loads(said(capsys, "plan", "kubernetes", "--set", "workers=3", "--set", "image=null", "--json"))
    assert planned["machines"][1]["count"] == 3


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["show", "kubernets"], Exit.INVALID, "Did you mean 'kubernetes'"),
        (["validate", "gone.yaml"], Exit.INVALID, "There is no file"),
        (["plan", "kubernetes", "--set", "workers=-1"], Exit.INVALID, "Give at least 0."),
        (["plan", "kubernetes", "--set", "workers"], Exit.INVALID, "--set INPUT=VALUE"),
        (["plan", "kubernetes", "--set", "charts=[a"], Exit.INVALID, "as JSON"),
        (["plan", "kubernetes", "--set", "wokers=1"], Exit.INVALID, "Did you mean 'workers'"),
    ],
)
def test_what_cannot_be_planned_is_told(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str) -> None:
    assert main(["template", *arguments]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert words in shown.err


@pytest.mark.parametrize("missing", ["yaml", "toscaparser"])
def test_without_its_extra_it_says_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingSoftware):
        load("kubernetes")
    assert main(["template", "list"]) == Exit.MISSING
    assert 'pip install "jupyter-dodas[provision]"' in capsys.readouterr().err


def test_the_template_of_the_guide_can_be_used() -> None:
    guide = Path(__file__).parents[3] / "docs" / "guides" / "templates.md"
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", guide.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    farm = Template("farm", text)
    (machine,) = farm.machines(farm.check({"machines": 7}))
    assert (machine.count, machine.cores, machine.memory) == (7, 2, 4 * GIB)
    plain = filled(farm, {})["topology_template"]["node_templates"]["farm"]["interfaces"]["Standard"]["configure"]
    assert plain == {"implementation": "https://recipes.example.org/2026/farm.yml", "inputs": {}}
