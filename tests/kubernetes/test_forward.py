"""A port of this machine that leads to a pod: nothing that a caller says gets lost, whoever listens there when."""

import asyncio
import os
from contextlib import closing

import pytest

from jupyter_dodas import settings
from jupyter_dodas.backends.kubernetes.api import Api
from jupyter_dodas.backends.kubernetes.forward import Forwarder
from jupyter_dodas.testing.waiting import until
from tests.namespace import Namespace

pytestmark = pytest.mark.anyio

HELLO = b"\x16 a hello as that of TLS"

LATE = """
import socket, time
time.sleep(2)
with socket.create_server(("", 9000)) as server:
    for _ in range(2):
        caller, _ = server.accept()
        caller.sendall(caller.recv(100))
        caller.close()
"""
"""Listens late, and says what it hears."""

FORGETFUL = """
import socket
with socket.create_server(("", 9000)) as server:
    caller, _ = server.accept()
    caller.recv(100)
    caller.close()
    caller, _ = server.accept()
    caller.sendall(caller.recv(100))
    caller.close()
    server.accept()
"""
"""Ends the first connection without a word, as a pod does that is just being replaced."""


async def run(namespace: Namespace, code: str) -> None:
    container = {
        "name": "it",
        "image": f"{os.environ.get('DODAS_TEST_IMAGES', 'localhost/jupyter-dodas')}/worker:1",
        "command": ["python", "-c", code],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    safe = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": [container], "securityContext": safe, "restartPolicy": "Never", "terminationGracePeriodSeconds": 0}
    namespace.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "it", "namespace": namespace.name}, "spec": spec})
    phase = ("get", "pod", "it", "-o", "jsonpath={.status.phase}")
    await until(lambda: namespace.kubectl(*phase), within=60, meets=lambda phase: phase == "Running")


async def answer_to(words: bytes, port: int) -> bytes:
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(words)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()


@pytest.mark.parametrize("words", [HELLO, b"GET / HTTP/1.1\r\n\r\n"])
async def test_who_speaks_before_anybody_listens_is_heard_by_who_listens_then(namespace: Namespace, words: bytes) -> None:
    await run(namespace, LATE)
    with closing(Forwarder(Api(settings.load()), lambda _: True)) as forwarder:
        port = await forwarder.port("it", 9000)
        assert list(await asyncio.gather(answer_to(words, port), answer_to(words, port))) == [words, words]


async def test_only_a_hello_is_said_twice(namespace: Namespace) -> None:
    """A pod that hears a request and ends may have acted on it."""
    await run(namespace, FORGETFUL)
    with closing(Forwarder(Api(settings.load()), lambda _: True)) as forwarder:
        port = await forwarder.port("it", 9000)
        assert await answer_to(HELLO, port) == HELLO


async def test_a_request_is_not(namespace: Namespace) -> None:
    await run(namespace, FORGETFUL)
    with closing(Forwarder(Api(settings.load()), lambda _: True)) as forwarder:
        assert await answer_to(b"POST /launch HTTP/1.1\r\n\r\n", await forwarder.port("it", 9000)) == b""
