"""The floor: a bare handler on uvicorn, with ONNX Runtime in the same process, no isolation, no sign-in, no log.

python floor.py MODEL.onnx PORT
"""

import sys
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import uvicorn


class Row(msgspec.Struct):
    """What TFaaS's clients send."""

    values: list[float]


def application(model: str) -> Any:
    """Return the handler."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    run = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run
    decode, encode = msgspec.json.Decoder(Row).decode, msgspec.json.encode
    headers = [(b"content-type", b"application/json")]

    async def handle(_scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        row = np.array(decode(body).values, dtype=np.float32)[None]
        answer = encode(run(None, {"x": row})[0][0].tolist())
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return handle


def main() -> None:
    """Serve."""
    model, port = sys.argv[1:]
    uvicorn.run(
        application(model), port=int(port), loop="uvloop", http="httptools", lifespan="off", access_log=False, log_level="warning"
    )


if __name__ == "__main__":
    main()
