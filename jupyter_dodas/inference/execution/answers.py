"""What a worker answers to a batch, handed out to those who asked.

Where a model is simple (rowwise, with one input and one output) a result is the bytes of the output; otherwise it is the bytes of
each output, and their shapes, which are none where the model is rowwise.
"""

from collections.abc import Iterator, Mapping, Sequence

from jupyter_dodas.errors import ModelBroken
from jupyter_dodas.inference.execution.batcher import Request
from jupyter_dodas.inference.execution.frames import padded, row_bytes, unpack
from jupyter_dodas.inference.execution.workers import Answer
from jupyter_dodas.inference.records import Signature

__all__ = ["hand_out", "hand_out_flawed", "is_simple", "not_finite"]


def is_simple(signature: Signature) -> bool:
    """Whether results are the bytes of the one output."""
    return signature.rowwise and len(signature.inputs) == len(signature.outputs) == 1


def hand_out(signature: Signature, requests: Sequence[Request], answer: Answer, *, simple: bool, width: int) -> None:
    """Give each request its part of an answer.

    Parameters
    ----------
    simple, width
        See `is_simple`, and the bytes of a row that comes out: both are known before, and this is where time counts.
    """
    if not simple:
        for _ in _each(signature, requests, answer, None):
            pass
        return
    data = bytes(answer.body[: answer.rows * width])
    if len(data) != answer.rows * width:
        raise ValueError("an answer is cut short")
    if len(requests) == 1:
        if not (future := requests[0].future).done():
            future.set_result(data)
        return
    position = 0
    for request in requests:
        end = position + request.rows * width
        if not (future := request.future).done():
            future.set_result(data[position:end])
        position = end


def hand_out_flawed(
    signature: Signature, requests: Sequence[Request], answer: Answer
) -> Iterator[tuple[Request, Mapping[str, int]]]:
    """Give each request its part of an answer if all of that is finite; yield the others, and how much is not, by output."""
    size = (answer.rows if signature.rowwise else 1) * len(signature.outputs) * 4
    return _each(signature, requests, answer, answer.body[-padded(size) :][:size].cast("I"))


def _each(
    signature: Signature, requests: Sequence[Request], answer: Answer, counts: memoryview | None
) -> Iterator[tuple[Request, Mapping[str, int]]]:
    outputs, rowwise = signature.outputs, signature.rowwise
    parts, shapes = unpack(answer.body, answer.shapes, answer.rows, outputs)
    rows = answer.rows if rowwise else 1
    widths = [row_bytes(tensor) for tensor in outputs] if rowwise else [len(part) for part in parts]
    simple, start = is_simple(signature), 0
    for request in requests:
        end = start + (request.rows if rowwise else 1)
        if counts is not None:
            found = {tensor.name: sum(counts[index * rows + start : index * rows + end]) for index, tensor in enumerate(outputs)}
            if flaws := {name: count for name, count in found.items() if count}:
                yield request, flaws
                start = end
                continue
        if not request.future.done():
            mine = [bytes(part[start * width : end * width]) for part, width in zip(parts, widths, strict=True)]
            request.future.set_result(mine[0] if simple else (mine, shapes))
        start = end


def not_finite(model: str, flaws: Mapping[str, int]) -> ModelBroken:
    """Say what is not finite."""
    counts = ", ".join(f"{count} of {name!r}" for name, count in flaws.items())
    return ModelBroken(
        f"{model} gave numbers that are not finite",
        cause=f"NaN or infinite: {counts}.",
        remedy="Look for inputs far from those that it was trained with; if there are none, at the model.",
    )
