"""Pictures become the numbers that a model takes, or are refused with what it takes."""

import io

import numpy as np
import pytest
from PIL import Image

from jupyter_dodas.errors import BadInput, TooLarge
from jupyter_dodas.inference.http.images import decode
from jupyter_dodas.inference.records import Tensor

GREY = Tensor("x", "float32", (None, 2, 3, 1))
PIXELS = np.arange(6, dtype="u1").reshape(2, 3) * 40


def packed(pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def test_a_png_becomes_its_pixels() -> None:
    made = decode(packed(PIXELS), GREY, 0)
    assert (made.shape, made.dtype) == ((1, 2, 3, 1), np.dtype("float32"))
    assert (made.reshape(2, 3) == PIXELS).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_colours_are_those_that_the_model_takes(channels: int) -> None:
    made = decode(packed(PIXELS), Tensor("x", "uint8", (None, 2, 3, channels)), channels)
    assert made.shape == (1, 2, 3, channels)
    assert (made[0, :, :, 0] == PIXELS).all()


def test_a_jpeg_is_taken_and_a_size_that_is_free_is_its_own() -> None:
    made = decode(packed(np.full((8, 16), 100, "u1"), "JPEG"), Tensor("x", "float32", (None, None, None, 3)), 3)
    assert made.shape == (1, 8, 16, 3)
    assert abs(float(made.mean()) - 100) < 2


def test_a_model_without_an_axis_for_colours_takes_grey() -> None:
    assert decode(packed(PIXELS), Tensor("x", "float32", (None, 2, 3)), 0).shape == (1, 2, 3, 1)


@pytest.mark.parametrize(
    ("picture", "tensor", "channels", "why"),
    [
        (b"", GREY, 0, "neither PNG nor JPEG"),
        (b"GIF89a" + bytes(100), GREY, 0, "neither PNG nor JPEG"),
        (packed(PIXELS)[:-30], GREY, 0, "broken"),
        (packed(PIXELS.T.copy()), GREY, 0, "takes 3 x 2"),
        (packed(PIXELS), Tensor("x", "float32", (None, 6)), 0, "takes no images"),
        (packed(PIXELS), Tensor("x", "float32", (None, 2, 3, 5)), 0, "takes no images"),
        (packed(PIXELS), GREY, 3, "takes no images"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(picture: bytes, tensor: Tensor, channels: int, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        decode(picture, tensor, channels)


def test_a_small_file_with_a_huge_picture_is_refused_before_it_is_unpacked() -> None:
    bomb = packed(np.zeros((5000, 5000), "u1"))
    assert len(bomb) < 200_000
    with pytest.raises(TooLarge, match="5000 x 5000"):
        decode(bomb, Tensor("x", "float32", (None, None, None, 1)), 1)
