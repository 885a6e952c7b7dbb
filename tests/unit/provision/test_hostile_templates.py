"""Templates and inputs of people who mean harm, or whose editor did: each is refused at once, with a place, before it is sent."""

import re
import socket
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jupyter_dodas.errors import DodasError, InvalidOption, TemplateInvalid
from jupyter_dodas.provision.document import read
from jupyter_dodas.provision.template import Template, load

QUICK = 5.0
"""Seconds. It takes a hundredth of that, but the machine may be busy."""

GOOD = load("kubernetes").text
HEAD = "tosca_definitions_version: tosca_simple_yaml_1_0\n"
ONE_NODE = """
topology_template:
  node_templates:
    server:
      type: tosca.nodes.Compute
"""


@pytest.fixture(autouse=True)
def nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("something was looked up or fetched")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def edited(old: str, new: str) -> str:
    assert GOOD.count(old) >= 1, old
    return GOOD.replace(old, new, 1)


def node(body: str) -> str:
    return HEAD + ONE_NODE + body


def recipe(implementation: str) -> str:
    return edited("implementation: kubernetes-front.yml", f"implementation: {implementation}")


def nodes(number: int) -> str:
    return "".join(f"    a{at}: {{type: tosca.nodes.Compute}}\n" for at in range(number))


def line_of_types(number: int) -> str:
    first = "  my.A0: {derived_from: tosca.nodes.Compute}\n"
    return first + "".join(f"  my.A{at}: {{derived_from: my.A{at - 1}}}\n" for at in range(1, number))


def fan(number: int) -> str:
    return ", ".join(f"b{at}: {{type: a{number}}}" for at in range(20))


def laughs(levels: int = 9) -> str:
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "dsl_definitions:\n" + "".join(f"  {line}\n" for line in lines)


DOCUMENTS = {
    "imports of a file": (edited("description:", "imports: [file:///etc/passwd]\ndescription:"), "imports others"),
    "imports by http": (
        edited("description:", "imports:\n  - evil: http://169.254.169.254/latest\ndescription:"),
        "imports others",
    ),
    "imports of nothing": (edited("description:", "imports:\ndescription:"), "imports others"),
    "repositories": (edited("description:", "repositories: {evil: file:///}\ndescription:"), "repositories"),
    "get_artifact": (edited("{get_input: charts}", "{get_artifact: [SELF, secrets]}"), "get_artifact"),
    "artifact in a repository": (
        node("      artifacts: {a: {file: https://example.org/a.yml, repository: evil}}\n"),
        "is in a repository",
    ),
    "artifact of the host": (node("      artifacts: {a: file:///etc/passwd}\n"), "may not be used"),
    "artifact of the host, at length": (node("      artifacts: {a: {file: ../../../etc/passwd, type: x}}\n"), "may not be used"),
    "artifact in a node called properties": (
        HEAD
        + "topology_template:\n  node_templates:\n    properties:\n      type: tosca.nodes.Compute\n"
        + "      artifacts: {a: /etc/passwd}\n",
        "may not be used",
    ),
    "recipe of the host": (recipe("file:///etc/passwd"), "may not be used"),
    "recipe beside those of the host": (recipe("../../../../etc/passwd.yml"), "may not be used"),
    "recipe by http": (recipe("http://example.org/a.yml"), "may not be used"),
    "recipe by ftp": (recipe("ftp://example.org/a.yml"), "may not be used"),
    "recipe of a neighbour": (recipe("https://127.0.0.1/a.yml"), "may not be used"),
    "recipe of a neighbour, in one number": (recipe("https://2130706433/a.yml"), "may not be used"),
    "recipe of a neighbour, with a dot more": (recipe("https://127.0.0.1./a.yml"), "may not be used"),
    "recipe of a neighbour, in many digits": (recipe('"https://[::ffff:127.0.0.1]/a.yml"'), "may not be used"),
    "recipe of localhost": (recipe("https://localhost/a.yml"), "may not be used"),
    "recipe with a password": (recipe("https://me:secret@example.org/a.yml"), "may not be used"),
    "recipe that is a script": (recipe("https://example.org/a.sh"), "may not be used"),
    "recipe that nobody has": (recipe("kubernetes-frunt.yml"), "may not be used"),
    "recipe from an input": (recipe("{get_input: installer}"), "may not be used"),
    "recipe as primary": (recipe("{primary: file:///etc/passwd}"), "may not be used"),
    "recipe as dependency": (recipe("{primary: kubernetes-front.yml, dependencies: [file:///etc/passwd]}"), "may not be used"),
    "recipe in short": (node("      interfaces: {Standard: {configure: ../../etc/passwd}}\n"), "may not be used"),
    "recipe in a node called interfaces": (
        HEAD
        + "topology_template:\n  node_templates:\n    interfaces:\n      type: tosca.nodes.Compute\n"
        + "      interfaces: {Standard: {configure: /etc/passwd}}\n",
        "may not be used",
    ),
    "recipe of a type": (
        HEAD
        + "node_types:\n  my.Node:\n    derived_from: tosca.nodes.Compute\n"
        + "    interfaces: {Standard: {configure: {implementation: file:///etc/passwd}}}\n"
        + ONE_NODE,
        "may not be used",
    ),
    "variable that is a recipe": (edited("installer: {get_input: installer}", '"a: 1\\n  b": 2'), "cannot name a variable"),
    "input that is a recipe": (edited("    workers:\n", '    "a\\nb":\n'), "cannot name an input"),
    "node that is a recipe": (edited("    wn:\n", '    "wn@end":\n'), "cannot name a node"),
    "count: -1": (edited("count: {get_input: workers}", "count: -1"), "no number of machines"),
    "count by default -1": (edited("default: 2\n", "default: -1\n"), "default of the input workers"),
    "count: -1 of a type": (edited("required: false, default: 1}", "required: false, default: -1}"), "no number of machines"),
    "count: a million": (edited("count: {get_input: workers}", "count: 1000000"), "no number of machines"),
    "count of a text": (edited("count: {get_input: workers}", "count: {get_input: installer}"), "is of the type string"),
    "count of who knows": (edited("count: {get_input: workers}", "count: {concat: [1, 2]}"), "not known before"),
    "cores of a text": (edited("num_cpus: {get_input: cores}", "num_cpus: [1]"), ""),
    "default with a line end": (edited("default: k3s", 'default: "k3s\\nfile(/etc/passwd)"'), "default of the input installer"),
    "default that is a token": (edited("default: k3s", "default: access_token()"), "access_token"),
    "default that is random": (edited("description: With which workers join.", "default: random(20)"), "random"),
    "default that is a function": (edited("default: []", "default: {get_attribute: [front_server, x]}"), ""),
    "no such input": (edited("{get_input: charts}", "{get_input: carts}"), ""),
    "secret that is a number": (edited("secrets: join_token", "secrets: workers"), "secret is to be made"),
    "secret of no input": (edited("secrets: join_token", "secrets: join_tokens"), "secret is to be made"),
    "type of a ring": (
        edited("node_types:\n", "node_types:\n  my.A: {derived_from: my.B}\n  my.B: {derived_from: my.A}\n"),
        "comes from",
    ),
    "policy of a type that is not there": (
        edited("node_types:\n", "policy_types:\n  my.P: {derived_from: tosca.policies.Nothing}\nnode_types:\n"),
        "comes from",
    ),
    "type of the standard": (
        edited("node_types:\n", "node_types:\n  tosca.nodes.Root: {derived_from: tosca.nodes.Compute}\n"),
        "anew",
    ),
    "type of itself": (
        edited("derived_from: tosca.nodes.Compute", "derived_from: tosca.nodes.indigo.Compute"),
        "comes from itself",
    ),
    "node that needs itself": (edited("- host: wn_server", "- host: wn"), "needs"),
    "property of itself": (edited("num_cpus: {get_input: cores}", "num_cpus: {get_property: [SELF, host, num_cpus]}"), ""),
    "pattern of hours": (edited("pattern: v[0-9]{1,2}", "pattern: (a+)+b #"), "may not be used"),
    "pattern of years": (edited("pattern: v[0-9]{1,2}", "pattern: a*a*a*a*a*a*a*b #"), "may not be used"),
    "pattern of ages": (edited("pattern: v[0-9]{1,2}", "pattern: (a|a){1,200} #"), "may not be used"),
    "pattern with a long text": (
        edited("description: Of the workers.", f"description: x\n      x: {'a' * 9000}"),
        "characters, and patterns",
    ),
    "patterns with a long text, often": (
        GOOD
        + f"dsl_definitions:\n  x: {'a' * 9000}\n  constraints: &c [{{pattern: a}}]\n"
        + "".join(f"  a{number}: {{constraints: *c}}\n" for number in range(4000)),
        "characters, and patterns",
    ),
    "many nodes": (HEAD + "topology_template:\n  node_templates:\n" + nodes(3000), "3,000 node_templates"),
    "many inputs": (node("  inputs:\n" + "".join(f"    a{number}: {{type: integer}}\n" for number in range(3000))), "3,000 inputs"),
    "many types": (node("") + "node_types:\n" + line_of_types(3000), "3,000 node_types"),
    "nodes of many capabilities": (
        HEAD
        + "node_types:\n  my.A:\n    derived_from: tosca.nodes.Compute\n    capabilities:\n"
        + "".join(f"      c{at}: {{type: tosca.capabilities.Endpoint}}\n" for at in range(1000))
        + "topology_template:\n  node_templates:\n"
        + nodes(100).replace("tosca.nodes.Compute", "my.A"),
        "1,000 capabilities",
    ),
    "types in a long line": (node("") + "node_types:\n" + line_of_types(200), "more than 10 others"),
    "types that explode": (
        "data_types:\n"
        + "".join(f"  a{at}: {{properties: {{{fan(at + 1)}}}}}\n" for at in range(9))
        + "  a9: {properties: {b: {type: string}}}\n"
        + node("  inputs: {x: {type: list, entry_schema: {type: a0}}}\n"),
        "no form can ask for",
    ),
    "data type of many keys": (
        "data_types:\n  a:\n    properties:\n"
        + "".join(f"      b{number}: {{type: string}}\n" for number in range(5000))
        + node("  inputs: {x: {type: list, entry_schema: {type: a}}}\n"),
        "no form can ask for",
    ),
    "data type whose keys are a list": (
        "data_types: {a: {properties: [1]}}\n" + node("  inputs: {x: {type: list, entry_schema: {type: a}}}\n"),
        "",
    ),
    "data type of itself": (
        edited("values: {type: map, required: false, entry_schema: {type: any}", "values: {type: dodas.datatypes.Chart"),
        "",
    ),
    "10 MB": (GOOD + "#" * 10_000_000, "too large"),
    "10 MB of text": (edited("With which workers join.", "x" * 10_000_000), "too large"),
    "anchors that explode": (GOOD + laughs(), "more than"),
    "anchors within themselves": (GOOD + "dsl_definitions: &a [*a]\n", "refers to nothing"),
    "anchors that are not there": (GOOD + "dsl_definitions: [*b]\n", ""),
    "anchors that lie deep in each other": (
        GOOD + "dsl_definitions:\n" + "".join(f"  a{n}: &a{n} [[[[[[[[[[{f'*a{n - 1}' if n else 1}]]]]]]]]]]\n" for n in range(9)),
        "too deep",
    ),
    "lists in lists": (GOOD + "dsl_definitions: " + "[" * 100_000, "too deep"),
    "objects in objects": (GOOD + "dsl_definitions: " + "{a: " * 100_000, "too deep"),
    "keys in keys": (GOOD + "dsl_definitions:\n  " + "? " * 100_000, ""),
    "many values": (GOOD + "dsl_definitions: [" + "1," * 300_000 + "]\n", "more than"),
    "key twice": (
        edited("    workers:\n      type: integer\n", "    workers:\n      type: string\n      type: integer\n"),
        "twice",
    ),
    "merged": (GOOD + "dsl_definitions: {<<: {a: 1}}\n", "merges"),
    "tag of Python": (GOOD + "dsl_definitions: !!python/object/apply:os.system [reboot]\n", "tag"),
    "tag of one's own": (GOOD + "dsl_definitions: !secret x\n", "tag"),
    "key that is a number": (GOOD + "dsl_definitions: {1: 2}\n", "is no text"),
    "key that is a list": (GOOD + "dsl_definitions: {[1]: 2}\n", "is no text"),
    "number without end": (GOOD + "dsl_definitions: .inf\n", "no value"),
    "number of many digits": (GOOD + f"dsl_definitions: {'9' * 5000}\n", "no value"),
    "day that is none": (GOOD + "dsl_definitions: 2024-99-99\n", "no value"),
    "two documents": (GOOD + "---\na: 1\n", "two documents"),
    "no YAML": (GOOD + "a: [\n", "not YAML"),
    "characters that do not show": (GOOD + "#\x07\n", "not YAML"),
    "half of a character": (GOOD + "#\ud800\n", ""),
    "nothing": ("", "no document"),
    "a text": ("a", "no document"),
    "no version": (HEAD.replace("1_0", "9_9") + ONE_NODE, "version"),
    "no nodes": (HEAD + "topology_template: {}\n", "makes nothing"),
    "nodes that are a list": (HEAD + "topology_template: {node_templates: [1]}\n", "makes nothing"),
    "inputs that are a list": (HEAD + "topology_template: {inputs: [1], node_templates: {a: 1}}\n", "no object"),
    "node that is a number": (HEAD + "topology_template: {node_templates: {a: 1}}\n", ""),
    "node of no type": (HEAD + "topology_template: {node_templates: {a: {type: nothing}}}\n", ""),
    "types that are a list": (HEAD + "node_types: [1]\n" + ONE_NODE, "no object"),
    "section of one's own": (GOOD + "evil: 1\n", "evil"),
    "input of no type": (edited("      type: boolean\n" if "boolean" in GOOD else "      type: integer\n", ""), ""),
    "input of a type that nobody asks for": (edited("      type: integer\n", "      type: range\n"), ""),
    "constraint that nobody knows": (edited("- in_range: [0, 100]", "- in_reach: [0, 100]"), ""),
    "constraint of texts": (edited("- in_range: [0, 100]", "- in_range: [a, b]"), ""),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_a_hostile_template_is_refused_at_once(case: str) -> None:
    text, what = DOCUMENTS[case]
    tracemalloc.start()
    began = time.monotonic()
    try:
        with pytest.raises(TemplateInvalid, match=re.escape(what) or None) as refused:
            Template("hostile", text)
        assert time.monotonic() - began < QUICK
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    error = refused.value
    assert error.cause
    assert error.remedy
    assert "Traceback" not in str(error)
    assert "/site-packages/" not in str(error)
    assert len(str(error)) < 1500


_second_key = DOCUMENTS["key twice"][0].partition("      type: string\n      type: integer\n")[0].count("\n") + 2


@pytest.mark.parametrize(
    ("case", "line"),
    [
        ("imports of a file", "line 3: imports"),
        ("get_artifact", "topology_template.node_templates.front.interfaces.Standard.configure.inputs.charts.get_artifact"),
        ("count: -1", "topology_template.node_templates.wn_server.capabilities.scalable.properties.count"),
        ("key twice", f"line {_second_key}"),
    ],
)
def test_an_error_says_where(case: str, line: str) -> None:
    text, _ = DOCUMENTS[case]
    with pytest.raises(TemplateInvalid, match=re.escape(line)) as refused:
        Template("hostile", text)
    number = int(re.findall(r"line (\d+)", str(refused.value))[0])
    word = line.rsplit(".", 1)[-1].rsplit(" ", 1)[-1]
    assert word.isdecimal() or word in text.splitlines()[number - 1]


VALUES: dict[str, tuple[str, Any]] = {
    "a line end": ("image", "aws://a\nfile(/etc/passwd)"),
    "a carriage return": ("image", "aws://a\rb"),
    "a line end of YAML": ("image", "aws://a\x85b"),
    "a line end of Unicode": ("image", "aws://a\u2028b"),
    "a null": ("image", "aws://a\0b"),
    "a letter that turns text round": ("image", "aws://a\u202eb"),
    "half of a character": ("image", "aws://\ud800"),
    "a semicolon": ("image", "aws://a; token = b"),
    "a quote": ("image", "aws://a'"),
    "two quotes": ("image", 'aws://a"'),
    "a backslash": ("image", "aws://a\\nb"),
    "a file": ("image", "file(/etc/passwd)"),
    "a file in the middle": ("image", "aws://file(/etc/passwd)"),
    "an expression": ("image", "{{ lookup(pipe) }}"),
    "a statement": ("image", "{% for a in b %}"),
    "a token": ("image", "access_token()"),
    "a random text": ("image", "random(20)"),
    "a text of several lines": ("image", "|x"),
    "an emoji": ("image", "aws://\U0001f600"),
    "10 MB": ("image", "x" * 10_000_000),
    "no text": ("image", 1),
    "an object": ("image", {"get_input": "join_token"}),
    "minus one": ("workers", -1),
    "a million": ("workers", 1_000_000),
    "half": ("workers", 1.5),
    "yes": ("workers", True),
    "infinity": ("workers", float("inf")),
    "no number": ("workers", "many"),
    "no size": ("memory", "much"),
    "a size of nothing": ("memory", 0),
    "a size without end": ("disk", float("inf")),
    "another choice": ("installer", "file(/bin/sh)"),
    "another version": ("kubernetes_version", "v1.34.2 && reboot"),
    "a line end after the version": ("kubernetes_version", "v1.34.2\n"),
    "a function": ("charts", [{"get_artifact": ["SELF", "file:///etc/passwd"]}]),
    "a function for a list": ("charts", {"get_attribute": ["front_server", "private_address"]}),
    "a function among values": ("charts", [{"name": "a", "chart": "b", "values": {"get_input": "join_token"}}]),
    "a function deep in values": (
        "charts",
        [{"name": "a", "chart": "b", "values": {"x": {"y": [{"get_property": ["SELF", "z"]}]}}}],
    ),
    "an expression deep in values": ("charts", [{"name": "a", "chart": "b", "values": {"x": ["{{ y }}"]}}]),
    "a key that is code": ("charts", [{"name": "a", "chart": "b", "values": {"x': 1, 'y": 1}}]),
    "nothing deep in values": ("charts", [{"name": "a", "chart": "b", "values": {"x": None}}]),
    "a number that would arrive as a text": ("charts", [{"name": "a", "chart": "b", "values": {"x": 1e-7}}]),
    "a key too many": ("charts", [{"name": "a", "chart": "b", "evil": 1}]),
    "a key too few": ("charts", [{"name": "a"}]),
    "a secret": ("join_token", "mine"),
    "what is ours to say": ("removal_list", ["1"]),
    "an input that is not there": ("worker", 1),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_hostile_value_is_refused(case: str) -> None:
    name, value = VALUES[case]
    with pytest.raises(InvalidOption) as refused:
        load("kubernetes").check({name: value})
    assert refused.value.option.split(".")[0] == name
    assert refused.value.remedy
    assert len(str(refused.value)) < 1500


def test_a_file_is_refused_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe")
    (tmp_path / "large.yaml").write_bytes(b"#" * 10_000_000)
    for path in (
        tmp_path,
        tmp_path / "gone.yaml",
        tmp_path / "bytes.yaml",
        tmp_path / "large.yaml",
        Path("/dev/zero"),
        Path("a\0b"),
    ):
        with pytest.raises(TemplateInvalid):
            Template.read(path)


TOKENS = st.sampled_from(
    [
        "{}",
        "[]",
        "null",
        "-1",
        "x",
        "true",
        "1.5",
        "{get_input: workers}",
        "[SELF, x]",
        "{a: {b: c}}",
        "UNBOUNDED",
        "tosca.nodes.Root",
        '""',
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 10_000), TOKENS), min_size=1, max_size=3))
def test_whatever_stands_where_it_does_not_belong_is_refused_or_works(changes: list[tuple[int, str]]) -> None:
    lines = GOOD.splitlines()
    for number, value in changes:
        at = number % len(lines)
        key, colon, _ = lines[at].partition(":")
        lines[at] = f"{key}{colon} {value}" if colon else lines[at]
    began = time.monotonic()
    with suppress(DodasError):
        template = Template("changed", "\n".join(lines))
        template.schema()
        inputs = template.check({})
        template.machines(inputs)
        template.fill(inputs, name="dodas-1", recipes="https://hub.example.org")
    assert time.monotonic() - began < QUICK


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(), st.text(alphabet="ab:-?[]{}&*!|>'\"%#,\n \t", max_size=60)))
def test_no_text_is_more_than_the_reader_can_take(text: str) -> None:
    with suppress(TemplateInvalid):
        assert isinstance(read(text).content, dict)


def test_as_much_as_there_may_be_of_everything_is_looked_at_at_once() -> None:
    text = HEAD + "node_types:\n" + line_of_types(10) + "data_types:\n"
    text += "".join(f"  a{at}: {{properties: {{{fan(at + 1)}}}}}\n" for at in range(6))
    text += "  a6: {properties: {b: {type: string}}}\n"
    text += "topology_template:\n  inputs:\n    x: {type: list, entry_schema: {type: a0}}\n"
    matched = f"{{type: string, constraints: [{{pattern: '[a-z]*'}}], default: {'a' * 256}}}"
    text += "".join(f"    a{at}: {matched}\n" for at in range(99))
    text += "  node_templates:\n" + nodes(100).replace("tosca.nodes.Compute", "my.A9")
    began = time.monotonic()
    template = Template("large", text + "dsl_definitions: [" + "1," * 15_000 + "]\n")
    template.schema()
    assert len(template.machines(template.check({"x": []}))) == 100
    assert time.monotonic() - began < QUICK
