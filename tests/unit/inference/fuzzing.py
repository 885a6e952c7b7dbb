"""Bytes that resemble what each protocol takes, and what each parser must make of them: a result, or one of our errors, soon.

``python -m tests.unit.inference.fuzzing PARSER SECONDS SEED`` goes on for a while with as much memory as a prediction may take, and
prints how many inputs it has tried.
"""

import asyncio
import gzip
import io
import json
import random
import resource
import struct
import sys
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image

from jupyter_dodas.errors import DodasError
from jupyter_dodas.inference.http.dialects import tfaas, v2
from jupyter_dodas.inference.http.dialects.tensors import take
from jupyter_dodas.inference.http.exchange import inflate
from jupyter_dodas.inference.http.forms import read_form
from jupyter_dodas.inference.http.images import decode
from jupyter_dodas.inference.http.intake import Intake
from jupyter_dodas.inference.http.protobuf import read_row
from jupyter_dodas.inference.records import Signature, Tensor
from jupyter_dodas.inference.versions.archives import Limits, unpack
from tests.unit.inference.manifests import manifest

__all__ = ["PARSERS", "Parser", "inputs", "main", "tried"]

SECONDS: Final = 1.0
"""Of the processor, for one input of a few thousand bytes: an order of magnitude more than any takes."""

MEMORY: Final = 1 << 30
"""Bytes beyond what the imports take."""

_TWO: Final = Signature((Tensor("a", "float32", (None, 3)), Tensor("b", "int64", (None, 2))), (Tensor("y", "float32", (None, 1)),))
_PIXELS: Final = Tensor("x", "uint8", (None, None, None, 3))
_INTAKE: Final = Intake(manifest(keys=("pt", "eta", "phi")))
_MARK: Final = b"here"


@dataclass(frozen=True)
class Parser:
    """What reads bytes of strangers.

    Parameters
    ----------
    read
        Reads; whatever it raises must be one of ours.
    good
        Inputs that are in order, to begin with.
    words
        What may make a difference somewhere.
    """

    read: Callable[[bytes], object]
    good: Sequence[bytes]
    words: Sequence[bytes]


def inputs(parser: Parser, seed: int) -> Iterator[bytes]:
    """Yield inputs without end, always the same for a seed; those that are in order come first."""
    chosen = random.Random(seed)
    yield from parser.good
    while True:
        data = bytearray(chosen.choice(parser.good))
        for _ in range(chosen.choice((1, 1, 2, 4, 8))):
            _change(data, parser, chosen)
        yield bytes(data[: 1 << 16])


def _change(data: bytearray, parser: Parser, chosen: random.Random) -> None:
    at, to = sorted((chosen.randint(0, len(data)), min(len(data), chosen.randint(0, len(data)))))
    match chosen.randrange(8):
        case 0 if data:
            data[min(at, len(data) - 1)] ^= 1 << chosen.randrange(8)
        case 1:
            data[at:at] = chosen.randbytes(chosen.choice((1, 2, 4, 16)))
        case 2:
            del data[at : min(to, at + 64)]
        case 3:
            data[at:at] = bytes(data[at : min(to, at + 256)]) * chosen.choice((1, 3, 50))
        case 4:
            other = chosen.choice(parser.good)
            data[at:to] = other[chosen.randint(0, len(other)) :]
        case 5:
            del data[at:]
        case _:
            data[at : at + chosen.choice((0, 0, 1, 4))] = chosen.choice(parser.words)


def tried(parser: Parser, data: bytes) -> None:
    """Have an input read.

    Raises
    ------
    AssertionError
        If it took too long.
    Exception
        If it is none of ours.
    """
    began = time.process_time()
    try:
        parser.read(data)
    except DodasError as error:
        assert error.message  # noqa: PT017 - whoever sent it is told
    took = time.process_time() - began
    assert took < SECONDS, f"it took {took:.1f} s"


# What is read.


def _row(data: bytes) -> None:
    """As `Tfaas` does."""
    row = tfaas._read(data)
    values: Sequence[float] = row.values or []
    if isinstance(row.keys, bytes | memoryview | bytearray) or row.keys:
        order = _INTAKE.order(bytes(row.keys))
        values = values if order is None else tfaas._ordered(values, order)
    assert len(_INTAKE.row(values)) == 12
    _INTAKE.parts(values)


def _tensors(data: bytes) -> None:
    """As `V2` does; the first line is the length of the JSON, or empty."""
    length, _, body = data.partition(b"\n")
    asked, binary = v2._read(body, length or None)
    rows, parts, _ = take(_TWO, asked.inputs, binary)
    assert [len(part) for part in parts] == [12 * rows, 16 * rows]


def _form(data: bytes) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(data), 1000):
            yield data[at : at + 1000]

    async def read() -> None:
        with tempfile.TemporaryDirectory() as folder:
            for part in (await read_form(pieces(), _MARK, Path(folder))).values():
                assert part.text is not None

    asyncio.run(read())


def _archive(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        outer = Path(name)
        (outer / "archive").write_bytes(data)
        try:
            unpack(outer / "archive", outer / "inside", Limits(size=1 << 24, members=100))
        finally:
            assert {one.name for one in outer.iterdir()} <= {"archive", "inside"}
            assert not any(one.is_symlink() for one in outer.rglob("*"))


# What is in order.


def _v2(told: Mapping[str, Any], behind: bytes = b"") -> bytes:
    text = json.dumps(told).encode()
    return (str(len(text)).encode() if behind else b"") + b"\n" + text + behind


def _message() -> bytes:
    return b"".join([b"\n\x02pt", b"\n\x03eta", b"\n\x03phi", b"\x12\x0c", struct.pack("<3f", 1, 2, 3), b"\x1a\x01m"])


def _input(name: str, shape: Sequence[int], datatype: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, **more}


def _picture(kind: str, mode: str = "RGB", **more: Any) -> bytes:
    made = io.BytesIO()
    Image.new(mode, (12, 9), 100 if mode == "L" else (1, 2, 3)).save(made, kind, **more)
    return made.getvalue()


def _tar(shape: int = tarfile.PAX_FORMAT, *, linked: bool = False) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=shape) as archive:
        for name in (
            "model/saved_model.pb",
            "model/" + "long/" * 12 + "name" * (10 if shape == tarfile.USTAR_FORMAT else 30),
            "model/variables/ü",
        ):
            entry = tarfile.TarInfo(name)
            entry.size = 700
            archive.addfile(entry, io.BytesIO(bytes(range(100)) * 7))
        if linked:
            link = tarfile.TarInfo("model/link")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
            archive.addfile(link)
    return made.getvalue()


_JSON: Final = (
    *b'{}[],:"\\',
    b"1e400",
    b"-0",
    b"NaN",
    b"Infinity",
    b"null",
    b"true",
    b'"\\ud800"',
    b"\xff",
    b"[" * 2000,
    b"0" * 400,
    b"9" * 40,
)
_JSON_WORDS: Final = tuple(bytes([word]) if isinstance(word, int) else word for word in _JSON)
_PART: Final = (
    b'--here\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\nPIXELS\r\n'
)
_FIELD: Final = b'--here\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n'

PARSERS: Final[Mapping[str, Parser]] = {
    "tfaas-json": Parser(
        _row,
        [
            b'{"model":"m","keys":["pt","eta","phi"],"values":[1,2.5,-3e-2]}',
            b'{"Values":[1,2,3],"Name":"m"}',
            b'{"keys":["phi","pt","eta"],"values":[1,2,3]}',
        ],
        [*_JSON_WORDS, b'"keys"', b'"values"', b'"VALUES"', b'"pt"'],
    ),
    "tfaas-protobuf": Parser(
        read_row,
        [_message(), b"\x15" + struct.pack("<f", 1) + b"\x1a\x01m"],
        [b"\xff" * 10, b"\x80", b"\x0a", b"\x12", b"\x1a", b"\x0b", b"\x00", b"\xfe\xff\xff\xff\x0f"],
    ),
    "tfaas-form": Parser(
        _form,
        [_PART + _FIELD + b"--here--\r\n", _FIELD * 3 + b"--here--"],
        [b"\r\n", b"--here", b"--here--", b'"', b";", b"\xff", b":"],
    ),
    "tfaas-archive": Parser(
        _archive,
        [
            _tar(),
            _tar(tarfile.GNU_FORMAT),
            _tar(tarfile.USTAR_FORMAT),
            _tar(linked=True),
            gzip.compress(_tar()),
            gzip.compress(bytes(1 << 22)),
        ],
        [
            b"../",
            b"/",
            b"\0" * 512,
            b"77777777777",
            b"\x80" + bytes(10) + b"\xff",
            b"L",
            b"x",
            b"g",
            b"S",
            b"2",
            b"GNU.sparse.major=1",
        ],
    ),
    "tfaas-image": Parser(
        lambda data: decode(data, _PIXELS, 3),
        [_picture("PNG"), _picture("JPEG"), _picture("PNG", "L"), _picture("JPEG", progressive=True), _picture("PNG", "P")],
        [
            b"\xff" * 4,
            b"\0" * 4,
            b"\x7f\xff\xff\xff",
            b"IHDR",
            b"IDAT",
            b"PLTE",
            b"zTXt",
            b"iCCP",
            b"\xff\xd8",
            b"\xff\xda",
            b"\xff\xc4",
        ],
    ),
    "encoding": Parser(
        lambda data: inflate(data, b"gzip", 1 << 22),
        [gzip.compress(b"[1,2,3]" * 100), gzip.compress(bytes(1 << 23)), gzip.compress(b"")],
        [b"\x1f\x8b", b"\x08", b"\0" * 4, b"\xff" * 4],
    ),
    "v2": Parser(
        _tensors,
        [
            _v2({"inputs": [_input("a", [1, 3], "FP32", data=[1, 2, 3]), _input("b", [1, 2], "INT64", data=[[1, 2]])]}),
            _v2(
                {
                    "id": "7",
                    "inputs": [
                        _input("a", [2, 3], "FP32", parameters={"binary_data_size": 24}),
                        _input("b", [2, 2], "INT64", data=[1, 2, 3, 4]),
                    ],
                    "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
                },
                struct.pack("<6f", *range(6)),
            ),
        ],
        [*_JSON_WORDS, b'"binary_data_size"', b'"shape"', b"[0]", b"[-1]", b"[4294967296,4294967296]", b"FP64", b"BOOL", b"\n"],
    ),
}


def main() -> None:
    """Try one parser for a while."""
    name, seconds, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    parser, count = PARSERS[name], 0
    held = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    deadline = time.monotonic() + seconds
    for data in inputs(parser, seed):
        try:
            tried(parser, data)
        except BaseException:
            sys.stdout.write(f"seed {seed}, input {count}: {data[:2000]!r}\n")
            raise
        count += 1
        if time.monotonic() > deadline:
            break
    sys.stdout.write(f"{count}\n")


if __name__ == "__main__":
    main()
