"""Pictures as rows: PNG and JPEG, decoded to numbers from 0 to 255 in the size and with the channels that a model takes."""

import io
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from jupyter_dodas.errors import BadInput, DodasError, TooLarge
from jupyter_dodas.inference.records import Tensor

__all__ = ["decode"]

_MODES: Final = {1: "L", 3: "RGB", 4: "RGBA"}

_KINDS: Final[Mapping[bytes, Callable[[io.BytesIO], ImageFile]]] = {
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"\xff\xd8\xff": JpegImageFile,
}

_MOST: Final = 1 << 24
"""Pixels: a small file can hold a picture that fills the memory."""


def decode(picture: bytes, tensor: Tensor, channels: int) -> npt.NDArray[np.generic]:
    """Return a picture as one row, of shape ``(1, height, width, channels)`` and of the dtype of the input.

    Parameters
    ----------
    picture
        A PNG or JPEG file.
    tensor
        The input that it is for.
    channels
        1, 3 or 4, as the manifest says; 0: as the shape of the input says.

    Raises
    ------
    BadInput
        If it is no picture, or not one that the input takes.
    TooLarge
        If it has too many pixels.
    """
    height, width, channels = _size(tensor, channels)
    kind = next((kind for magic, kind in _KINDS.items() if picture.startswith(magic)), None)
    if kind is None:
        raise BadInput(
            "The image cannot be read",
            cause="It is neither PNG nor JPEG.",
            remedy="Send one of these, as the file `image` of a form.",
        )
    try:
        with kind(io.BytesIO(picture)) as opened:
            _check_size(opened.size, height, width)
            pixels = np.asarray(opened if opened.mode == _MODES[channels] else opened.convert(_MODES[channels]))
    except DodasError:
        raise
    except Exception as error:  # noqa: BLE001 - of files that are broken in odd ways, Pillow's readers raise whatever comes
        raise BadInput(
            "The image cannot be read", cause=f"The file is broken: {error}.", remedy="Send a whole PNG or JPEG."
        ) from None
    return np.ascontiguousarray(pixels, dtype=f"<{np.dtype(tensor.dtype).str[1:]}").reshape(1, *pixels.shape[:2], channels)


def _size(tensor: Tensor, channels: int) -> tuple[int | None, int | None, int]:
    """Return height, width and channels of the pictures that an input takes."""
    shape = tensor.shape[1:]
    if len(shape) == 3 and (channels or shape[2]) in _MODES and shape[2] in {None, channels or shape[2]}:
        return shape[0], shape[1], channels or shape[2] or 0
    if len(shape) == 2 and channels in {0, 1}:
        return shape[0], shape[1], 1
    raise BadInput(
        "This model takes no images",
        cause=f"Its input {tensor.name!r} has the shape {list(tensor.shape)}.",
        remedy="Send its values as JSON, or upload it with img_channels.",
    )


def _check_size(size: tuple[int, int], height: int | None, width: int | None) -> None:
    if size[0] * size[1] > _MOST:
        raise TooLarge(
            f"The image has {size[0]} x {size[1]} pixels",
            cause=f"At most {_MOST} are taken.",
            remedy="Scale it before it is sent.",
        )
    if (height or size[1], width or size[0]) != (size[1], size[0]):
        raise BadInput(
            f"The image has {size[0]} x {size[1]} pixels",
            cause=f"The model takes {width or 'any'} x {height or 'any'}.",
            remedy="Scale it before it is sent.",
        )
