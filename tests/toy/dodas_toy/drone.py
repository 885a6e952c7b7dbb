"""The toy's drone: does what the hub says, one piece at a time."""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any


def connect(host: str, port: int) -> socket.socket:
    deadline = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection((host, port))
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def do(does: str, seconds: float = 0.0) -> Any:
    """Do a piece of work, and return its result."""
    match does:
        case "nap":
            time.sleep(seconds)
        case "burn":
            end = time.process_time() + seconds
            while time.process_time() < end:
                pass
        case "look":
            signals = {number.name: str(signal.getsignal(number)) for number in signal.Signals}
            return {"variables": dict(os.environ), "folder": str(Path.cwd()), "path": sys.path, "signals": signals}
    return seconds


def main(argv: list[str]) -> None:
    token, host, port, name = argv[:4]
    if "--fail" in argv:
        raise SystemExit("the drone was asked to fail")
    if "--ignore-term" in argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "--child" in argv and os.fork() == 0:
        os.setsid()
        while True:
            time.sleep(60)
    hub = connect(host, int(port))
    hub.sendall(json.dumps({"token": Path(token).read_text(), "role": "drone", "name": name}).encode() + b"\n")
    sys.stdout.write(f"{name} is there\n")
    sys.stdout.flush()
    for line in hub.makefile("rb"):
        asked = json.loads(line)
        hub.sendall(json.dumps({"number": asked["number"], "result": do(**asked["work"])}).encode() + b"\n")
    raise SystemExit("the hub has gone")


if __name__ == "__main__":
    main(sys.argv[1:])
