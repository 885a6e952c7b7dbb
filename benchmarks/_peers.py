"""The servers that an endpoint is measured beside: where they are installed, how each is started and asked."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import Request, urlopen

from platformdirs import user_cache_path

__all__ = ["PEERS", "Peer", "free_port", "python_of", "running"]

HERE: Final = Path(__file__).parent / "peers"
PACKAGES: Final[Mapping[str, Sequence[str]]] = {
    "mlserver": ("mlserver==1.7.1", "onnxruntime==1.31.1", "numpy==2.4.6"),
    "bentoml": ("bentoml==1.4.39", "onnxruntime==1.31.1", "numpy==2.4.6"),
    "fastapi": ("fastapi==0.115.14", "tensorflow==2.21.0", "keras==3.15.1", "uvicorn[standard]==0.54.0", "numpy==2.4.6"),
}
"""Each in an environment of its own: they do not agree on versions, with each other or with ours."""


@dataclass(frozen=True)
class Peer:
    """A server.

    Parameters
    ----------
    name
        For tables.
    command
        With ``{python}``, ``{bin}``, ``{onnx}``, ``{keras}``, ``{folder}`` and ``{port}``.
    environment
        Which of `PACKAGES`; empty for ours.
    path
        Where it predicts.
    """

    name: str
    command: Sequence[str]
    path: str
    environment: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    def body(self, values: Sequence[float]) -> bytes:
        """Return one row as it wants it."""
        if self.name == "MLServer":
            tensor = {"name": "x", "shape": [1, len(values)], "datatype": "FP32", "data": list(values)}
            return json.dumps({"inputs": [tensor]}).encode()
        return json.dumps({"values": list(values)}).encode()


PEERS: Final = (
    Peer("uvicorn + ONNX Runtime", ("{python}", str(HERE / "floor.py"), "{onnx}", "{port}"), "/json"),
    Peer("MLServer", ("{bin}/mlserver", "start", "{folder}"), "/v2/models/m/infer", "mlserver"),
    Peer(
        "BentoML",
        ("{bin}/bentoml", "serve", "bentoml_onnx:Onnx", "--port", "{port}", "--working-dir", str(HERE)),
        "/predict",
        "bentoml",
        {"PEER_MODEL": "{onnx}", "BENTOML_DO_NOT_TRACK": "true", "DO_NOT_TRACK": "1"},
    ),
    Peer("FastAPI + keras.predict", ("{python}", str(HERE / "fastapi_keras.py"), "{keras}", "{port}"), "/json", "fastapi"),
)


def python_of(environment: str) -> Path:
    """Return the interpreter that has these packages; makes it the first time."""
    if not environment:
        return Path(sys.executable)
    packages = PACKAGES[environment]
    folder = user_cache_path("jupyter-dodas") / "peers" / environment
    python, stamp = folder / "bin" / "python", folder / "packages"
    if not stamp.exists() or stamp.read_text() != "\n".join(packages):
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        subprocess.run([*uv, "pip", "install", "--quiet", "--python", str(python), *packages], check=True)
        stamp.write_text("\n".join(packages))
    return python


@contextmanager
def running(peer: Peer, folder: Path, model: str, values: Sequence[float]) -> Iterator[tuple[int, str]]:
    """Start a server and wait until it predicts; gives its process and the address to ask."""
    python, port = python_of(peer.environment), free_port()
    work = folder / peer.name.replace(" ", "-")
    work.mkdir(exist_ok=True)
    if peer.name == "MLServer":
        _settings(work, folder / f"{model}.onnx", port)
    places = {
        "python": str(python),
        "bin": str(python.parent),
        "onnx": str(folder / f"{model}.onnx"),
        "keras": str(folder / f"{model}.keras"),
        "folder": str(work),
        "port": str(port),
    }
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    variables |= {name: value.format(**places) for name, value in peer.variables.items()}
    with (work / "log").open("wb") as log:
        command = [part.format(**places) for part in peer.command]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=variables, cwd=work)
    try:
        url = f"http://127.0.0.1:{port}{peer.path}"
        _await(process, url, peer.body(values), work / "log")
        yield process.pid, url
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _settings(work: Path, model: Path, port: int) -> None:
    implementation = "mlserver_onnx.Onnx"
    (work / "mlserver_onnx.py").write_text((HERE / "mlserver_onnx.py").read_text())
    (work / "model-settings.json").write_text(
        json.dumps({"name": "m", "implementation": implementation, "parameters": {"uri": str(model)}})
    )
    ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    # The model in the server's own process, as is quickest, without its access log.
    (work / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "debug": False, "parallel_workers": 0, **ports}))


def _await(process: "subprocess.Popen[bytes]", url: str, body: bytes, log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            with urlopen(Request(url, body, {"Content-Type": "application/json"}), timeout=10):
                return
        except (URLError, OSError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{url} does not answer: {error}\n{log.read_text()[-2000:]}") from error
            time.sleep(0.2)


def free_port() -> int:
    """Return a port that is free now."""
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
