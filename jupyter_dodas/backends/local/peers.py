"""The keeper's side of its socket: JSON objects, one a line, with whoever connects.

A few modules of the standard library, see `keeper`.
"""

import json
import os
import selectors
import socket
import struct
from collections.abc import Callable
from typing import Any

__all__ = ["Message", "Peers", "listen"]

Message = dict[str, Any]


class Peers:
    """Connections that lines come from, on the keeper's selector.

    Parameters
    ----------
    answer
        Called with each request of a client; its result is the reply.
    """

    def __init__(self, selector: selectors.BaseSelector, answer: Callable[[Message], Message]) -> None:
        self._selector, self._answer = selector, answer
        self._unread: dict[socket.socket, bytes] = {}
        self._clients: set[socket.socket] = set()

    def accept(self, listener: socket.socket) -> None:
        """Let a client in, if it is the same user's."""
        client, _ = listener.accept()
        _, uid, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid not in (os.getuid(), 0):
            client.close()  # the folder's mode keeps others out; this is the second lock
            return
        client.settimeout(5)
        self._clients.add(client)
        self.add(client, self._serve)

    def add(self, peer: socket.socket, heard: Callable[[socket.socket], object]) -> None:
        """Listen to a peer; `heard` is called when there is something to `receive`."""
        self._unread[peer] = b""
        self._selector.register(peer, selectors.EVENT_READ, heard)

    def __contains__(self, peer: socket.socket) -> bool:
        """Whether the connection is still there."""
        return peer in self._unread

    def _serve(self, client: socket.socket) -> None:
        for request in self.receive(client):
            try:
                reply = self._answer(request)
            except (KeyError, TypeError, ValueError) as error:
                reply = {"error": f"{type(error).__name__}: {error}"}
            self.send(client, {"id": request.get("id"), **reply})

    def receive(self, peer: socket.socket) -> list[Message]:
        """Return the whole lines that have come; hangs up on nonsense, and on a peer that has hung up."""
        try:
            data = peer.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self.hang_up(peer)
            return []
        *lines, self._unread[peer] = (self._unread[peer] + data).split(b"\n")
        try:
            return [json.loads(line) for line in lines]
        except ValueError:
            self.hang_up(peer)
            return []

    def send(self, peer: socket.socket, message: Message) -> None:
        """Send one line; hangs up on a peer that does not take it."""
        try:
            peer.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.hang_up(peer)

    def tell_clients(self, message: Message) -> None:
        """Send one line to everybody that was let in."""
        for client in list(self._clients):
            self.send(client, message)

    def hang_up(self, peer: socket.socket) -> None:
        """Let go of a peer."""
        if self._unread.pop(peer, None) is not None:
            self._clients.discard(peer)
            self._selector.unregister(peer)
            peer.close()


def listen(path: str) -> socket.socket:
    """Listen at a path, in the place of whatever was there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(16)
    return listener
