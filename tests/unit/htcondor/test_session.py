"""The way to a pool's daemons: addresses, what is asked of a job's requirements, and daemons that do not answer."""

import os
import socket
import time
from pathlib import Path

import pytest

from jupyter_dodas.errors import NotFound, PoolUnreachable
from jupyter_dodas.services.htcondor import session as sessions
from jupyter_dodas.services.htcondor.porter import address_of, clauses
from jupyter_dodas.services.htcondor.session import Session, Where

SAID = "<10.1.2.3:9618?addrs=10.1.2.3-9618+[2001-db8--1]-9618&alias=pool.example&noUDP&sock=schedd_1_2>"


def test_a_daemon_is_reached_where_its_port_is_forwarded_to() -> None:
    assert address_of(SAID, "127.0.0.1:5000") == "<127.0.0.1:5000?noUDP&sock=schedd_1_2>"
    assert address_of("<10.1.2.3:9618>", "127.0.0.1:5000") == "<127.0.0.1:5000>"
    assert address_of(SAID, "localhost:5000") == "<127.0.0.1:5000?noUDP&sock=schedd_1_2>", "HTCondor wants no name here"


@pytest.mark.parametrize(
    ("requirements", "parts"),
    [
        ("true", ["true"]),
        ("a && b", ["a", "b"]),
        ("(a && b)", ["a", "b"]),
        ("((a || b) && c)", ["(a || b)", "c"]),
        ("(a) && (b && c)", ["(a)", "(b && c)"]),
        ('x == "a && b" && y', ['x == "a && b"', "y"]),
        ('x == "a \\" && b" && y', ['x == "a \\" && b"', "y"]),
        ("", []),
    ],
)
def test_requirements_are_taken_apart(requirements: str, parts: list[str]) -> None:
    assert clauses(requirements) == parts


def where(port: int) -> Where:
    return Where(f"127.0.0.1:{port}", "higgs.0123", b"no token")


def test_a_token_is_in_no_text() -> None:
    assert "no token" not in repr(where(1))


def test_nobody_there_is_told_at_once_and_nothing_stays() -> None:
    session = Session(lambda: where(1))
    began = time.monotonic()
    with pytest.raises(PoolUnreachable, match="queue of higgs does not answer"):
        session.jobs()
    assert time.monotonic() - began < 20
    session.close()


def test_a_manager_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library waits for a minute, and all threads of its process with it."""
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        session = Session(lambda: where(hangs.getsockname()[1]))
        monkeypatch.setattr(Session._ask, "__kwdefaults__", {"patience": 2.0})
        began = time.monotonic()
        with pytest.raises(PoolUnreachable):
            session.jobs()
        assert time.monotonic() - began < 20
        session.close()


def test_where_it_is_is_asked_anew_after_a_failure() -> None:
    asked = []

    def find() -> Where:
        asked.append(1)
        if len(asked) == 2:
            raise NotFound("higgs")
        return where(1)

    session = Session(find)
    with pytest.raises(PoolUnreachable):
        session.jobs()
    with pytest.raises(NotFound):
        session.jobs()
    session.close()


def test_a_process_gets_its_token_as_a_private_file_and_nothing_of_it_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DODAS_STATE", "/nowhere")
    process = sessions._Process()
    try:
        process.begin(where(1))
        folder: Path = process._folder
        (file,) = folder.iterdir()
        assert file.read_bytes() == b"no token"
        assert (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
        pid = process._process.pid
        assert b"no token" not in Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        assert b"DODAS_STATE" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert os.getpgid(pid) != os.getpgid(0), "an interrupt is meant for the notebook"
    finally:
        process.end()
    assert not folder.exists()
