"""What many write first: `keras.predict` behind FastAPI.

python fastapi_keras.py MODEL.keras PORT
"""

import sys

import keras
import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Row(BaseModel):
    """What TFaaS's clients send; an image comes flat."""

    values: list[float]


def application(file: str) -> FastAPI:
    """Return the application."""
    model = keras.models.load_model(file)
    app = FastAPI()

    # Not `async`: FastAPI runs it in a thread, so that others are not kept waiting to be taken in.
    @app.post("/json")
    def predict(row: Row) -> list[float]:
        x = np.array(row.values, dtype=np.float32).reshape((1, *model.input_shape[1:]))
        answer: list[float] = model.predict(x, verbose=0)[0].tolist()
        return answer

    return app


def main() -> None:
    """Serve."""
    file, port = sys.argv[1:]
    uvicorn.run(application(file), port=int(port), access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
