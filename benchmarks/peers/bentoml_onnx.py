"""A model of ONNX Runtime as a service of BentoML; the model is named by the variable PEER_MODEL.

bentoml serve bentoml_onnx:Onnx --port PORT
"""

import os

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=1)
class Onnx:
    """One session, one thread."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["PEER_MODEL"], options, providers=["CPUExecutionProvider"])

    @bentoml.api
    async def predict(self, values: list[float]) -> list[float]:
        """Run it."""
        (y,) = self.session.run(None, {"x": np.array([values], dtype=np.float32)})
        answer: list[float] = y[0].tolist()
        return answer
