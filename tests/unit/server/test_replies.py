"""Errors as replies."""

import inspect

import pytest
from pydantic import ValidationError
from tornado.web import HTTPError

from jupyter_dodas import errors
from jupyter_dodas.errors import DodasError, InvalidOption, NotFound, StoreFull
from jupyter_dodas.options import Options, validate
from jupyter_dodas.server.replies import ErrorReply, view_of
from jupyter_dodas.statuses import STATUS
from jupyter_dodas.views import ClusterPatch, ClusterRequest

EVERY = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, DodasError)]


def test_every_error_has_a_status() -> None:
    assert set(EVERY) == set(STATUS)


@pytest.mark.parametrize("kind", EVERY)
def test_every_error_has_the_one_shape(kind: type[DodasError]) -> None:
    error = kind.__new__(kind)
    DodasError.__init__(error, "It happened", cause="Because", remedy="Do this")
    status, reply = view_of(500, error)
    assert status == STATUS[kind]
    assert reply.model_dump() == {
        "error": {
            "code": kind.code,
            "message": "It happened",
            "cause": "Because",
            "remedy": "Do this",
            "retryable": kind.retryable,
            "option": "",
            "retry": {},
        }
    }


@pytest.mark.parametrize(
    ("options", "blamed"),
    [
        ({"workers": -1}, "workers"),
        ({"groups": {"gpu": {"cores": 0}}}, "groups.gpu.cores"),
        ({"wokers": 1}, "wokers"),
        ({"adapt": {"minimum": 1}}, "adapt.maximum"),
    ],
)
def test_an_error_names_the_option_to_blame(options: dict[str, object], blamed: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        validate(Options, "toy", options)
    assert ErrorReply.of(caught.value).error.option == blamed


def test_a_subclass_of_another_package_has_the_status_of_its_base() -> None:
    class NoDrones(StoreFull):
        pass

    assert view_of(500, NoDrones("All drones fly"))[0] == STATUS[StoreFull]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 5000, "not JSON"),
        (b"[]", "The request"),
        (b"{}", "kind"),
        (b'{"kind": 1}', "kind"),
        (b'{"kind": "toy", "size": 3}', "size"),
        (b'{"kind": "toy", "name": "../x"}', "name"),
    ],
)
def test_what_a_model_finds_wrong_is_the_clients_fault(body: bytes, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ClusterRequest.model_validate_json(body)
    status, reply = view_of(500, caught.value)
    assert status == STATUS[InvalidOption]
    assert reply.error.code == "invalid-option"
    assert words in reply.error.message


def test_a_number_and_bounds_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="not both"):
        ClusterPatch.model_validate({"workers": 2, "adapt": [0, 4]})


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413, 418])
def test_what_jupyter_refuses_has_the_one_shape(status: int) -> None:
    found, reply = view_of(status, HTTPError(status))
    assert found == status
    assert reply.error.code
    assert reply.error.message


def test_what_nobody_foresaw_tells_nothing_of_the_inside() -> None:
    status, reply = view_of(500, RuntimeError("the key is 12345"))
    assert status == 500
    assert "12345" not in reply.model_dump_json()


def test_not_found_says_what_there_is() -> None:
    _, reply = view_of(500, NotFound("higs", ["higgs"]))
    assert "higgs" in reply.error.cause
