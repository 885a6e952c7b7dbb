"""Our templates, and values of inputs, before the Infrastructure Manager itself: what it makes of them is what we said."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import yaml

from jupyter_dodas.errors import TemplateInvalid
from jupyter_dodas.provision.template import Template, load, names, recipe
from tests.provision.im import InfrastructureManager, header

pytestmark = pytest.mark.timeout(300)


class Recipes(BaseHTTPRequestHandler):
    """Serves recipes as the service of infrastructures does: by digest and name."""

    def do_GET(self) -> None:
        _, digest, name = self.path.rsplit("/", 2)
        try:
            known, text = recipe(name)
        except TemplateInvalid:
            known, text = "", ""
        self.send_response(200 if known == digest else 404)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def recipes() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Recipes) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/recipes"
        server.shutdown()


@pytest.fixture(scope="module")
def im(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfrastructureManager]:
    with InfrastructureManager(tmp_path_factory.mktemp("im")) as found:
        yield found


def sent(template: Template, given: dict[str, Any], recipes: str) -> str:
    secrets = dict.fromkeys(template.secrets, "0123456789abcdef")
    return template.fill({**template.check(given), **secrets}, name="dodas-templates", recipes=recipes)


def post(im: InfrastructureManager, text: str, **query: str) -> Any:
    headers = {**header(), "Content-Type": "text/yaml"}
    answer = httpx.post(f"{im.url}/infrastructures", params=query, content=text, headers=headers, timeout=120)
    assert answer.is_success, answer.text
    return answer.json()


def variables(im: InfrastructureManager, text: str) -> list[dict[str, Any]]:
    """What recipes are told, by the Infrastructure Manager's own account of an infrastructure made for it."""
    uri = post(im, text)["uri"]
    try:
        radl = httpx.get(f"{uri}/radl", headers={**header(), "Accept": "text/plain"}, timeout=120).raise_for_status().text
    finally:
        httpx.delete(uri, params={"force": "true"}, headers=header(), timeout=120).raise_for_status()
    return [yaml.safe_load(play)[0]["vars"] for play in re.findall(r"^@begin\n(.*?)\n@end$", radl, re.MULTILINE | re.DOTALL)]


@pytest.mark.parametrize("name", names())
def test_it_plans_the_machines_that_we_plan(name: str, im: InfrastructureManager, recipes: str) -> None:
    template = load(name)
    given = {"cores": 3, "memory": "6 GB", "disk": "30 GB", **({"workers": 3} if template.scalable else {})}
    ours = [machine for machine in template.machines(template.check(given)) for _ in range(machine.count)]
    (theirs,) = post(im, sent(template, given, recipes), dry_run="true").values()
    assert [(one["cpuCores"], one["diskSizeInGigabytes"], bool(one["publicIP"])) for one in theirs["compute"]] == [
        (machine.cores, machine.disk // 10**9, machine.public) for machine in ours
    ]
    for one, machine in zip(theirs["compute"], ours, strict=True):
        assert abs(one["memoryInMegabytes"] - machine.memory / 10**6) < 1


def test_recipes_are_told_what_was_chosen(im: InfrastructureManager, recipes: str) -> None:
    charts = [{"name": "a", "chart": "b", "version": "1.10", "values": {"port": 80, "deep": [{"on": True, "off": "no"}]}}]
    front, worker = variables(im, sent(load("kubernetes"), {"charts": charts, "kubernetes_version": "v1.34.2+k3s1"}, recipes))
    assert front["charts"] == charts
    assert front["installer"] == worker["installer"] == "k3s"
    assert front["kubernetes_version"] == "v1.34.2+k3s1"
    assert front["join_token"] == worker["join_token"] == "0123456789abcdef"
    assert "image" not in front
    (spark, _) = variables(im, sent(load("spark"), {"launches": 4, "metrics": False}, recipes))
    (chart,) = spark["charts"]
    assert chart["values"]["controller"]["workers"] == 4
    assert chart["values"]["prometheus"]["metrics"]["enable"] is False


ODD = [
    *[
        "a: b",
        "a # c",
        "yes",
        "Off",
        "null",
        "~",
        "1e3",
        "1:30",
        "0x1F",
        "1_000",
        "2026-01-01",
        ".5",
        "-1",
        "None",
        "True",
        "---",
        "...",
        "- a",
        "? b",
        "<<",
        "=",
        "*a",
        "&a",
        "!t",
        "%d",
        "@x",
    ],
    *[
        "{a: b}",
        "[x]",
        "{",
        "}",
        "[",
        "]",
        "{ { x } }",
        "#{x}",
        "${x}",
        "$HOME",
        "a%}",
        "a,b",
        "@end",
        "@begin",
        "configure x (",
        "ä → €",
        "<x>",
        "a & b",
        ">x",
        "+5",
        ":",
        ",",
        "a:",
        "#a",
    ],
    "a | b",
    "x" * 4096,
]


def test_whatever_is_let_through_arrives_as_it_was(im: InfrastructureManager, recipes: str) -> None:
    inputs = "".join(f"    t{number}: {{type: string}}\n" for number in range(len(ODD)))
    used = "".join(f"              t{number}: {{get_input: t{number}}}\n" for number in range(len(ODD)))
    template = Template(
        "odd",
        f"""\
tosca_definitions_version: tosca_simple_yaml_1_0
topology_template:
  inputs:
    every: {{type: list, entry_schema: {{type: string}}}}
    tags: {{type: map, entry_schema: {{type: any}}}}
{inputs}
  node_templates:
    server:
      type: tosca.nodes.Compute
      interfaces:
        Standard:
          configure:
            implementation: kubernetes-worker.yml
            inputs:
              every: {{get_input: every}}
              tags: {{get_input: tags}}
{used}
""",
    )
    tags = {f"a {text[:200]}": [text, {"a": text}] for text in ODD}
    tags |= {"numbers": [1, 1.5, -0.25, 10**18], "booleans": [True, False], "empty": [{}, [], ""]}  # type: ignore[list-item]
    given = {"every": ODD, "tags": tags, **{f"t{number}": text for number, text in enumerate(ODD)}}
    (told,) = variables(im, sent(template, given, recipes))
    assert {name: told.get(name) for name in given} == given
