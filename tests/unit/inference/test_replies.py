"""Errors as replies: the right status, one sentence in the forms of the protocols, and all of it in our own."""

import msgspec
import pytest

from jupyter_dodas import errors
from jupyter_dodas.errors import BadInput, Busy, DodasError, ModelNotFound, Unauthenticated
from jupyter_dodas.inference.http.replies import STATUS, as_bytes, as_known, refusal, sentence


def test_a_refusal_is_one_string_on_one_line() -> None:
    reply = refusal(ModelNotFound("higs", known=["higgs"]))
    assert reply.status == 404
    assert reply.body == b"{\"error\":\"There is no model 'higs'. Did you mean 'higgs'? There are: higgs.\"}\n"
    assert dict(reply.headers)[b"content-length"] == b"%d" % len(reply.body)


def test_our_own_form_keeps_the_parts_apart() -> None:
    reply = refusal(BadInput("No", cause="Why.", remedy="Do."), ours=True)
    assert msgspec.json.decode(reply.body) == {"error": {"code": "bad-input", "message": "No", "cause": "Why.", "remedy": "Do."}}


@pytest.mark.parametrize(("after", "seconds"), [(0.01, b"1"), (1.2, b"2"), (7, b"7")])
def test_who_is_too_early_hears_when_to_come_back_in_whole_seconds(after: float, seconds: bytes) -> None:
    reply = refusal(Busy("Too much", after=after))
    assert (reply.status, dict(reply.headers)[b"retry-after"]) == (503, seconds)


def test_who_has_no_token_hears_which_one_is_wanted() -> None:
    assert b"Bearer" in dict(refusal(Unauthenticated("No")).headers)[b"www-authenticate"]


def test_a_defect_tells_callers_nothing_of_what_is_inside() -> None:
    reply = refusal(as_known(ValueError("secret")))
    assert reply.status == 500
    assert b"secret" not in reply.body
    known = BadInput("x")
    assert as_known(known) is known


def test_every_status_is_of_an_error_that_there_is() -> None:
    codes = {getattr(errors, name).code for name in errors.__all__ if name != "did_you_mean"}
    assert STATUS.keys() <= codes


def test_a_reply_as_bytes_is_http() -> None:
    head, body = as_bytes(refusal(BadInput("No"))).split(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"HTTP/1.1 400 Bad Request"
    assert body == b'{"error":"No."}\n'


def test_sentences_end_with_one_full_stop() -> None:
    assert sentence(DodasError("A", cause="B.", remedy="C?")) == "A. B. C?"
    assert sentence(DodasError("A")) == "A."
