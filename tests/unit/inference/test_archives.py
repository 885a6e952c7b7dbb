"""Archives of strangers: what is plain comes out, what is not is refused before anything of it is anywhere."""

import gzip
import io
import os
import random
import resource
import tarfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_dodas.errors import DodasError, ModelRefused, StoreFull, TooLarge
from jupyter_dodas.inference.versions import tree
from jupyter_dodas.inference.versions.archives import Limits, unpack


def packed(*members: tuple[str, bytes | None] | tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar archive of files, of folders (None), and of whatever a header says."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member, io.BytesIO(bytes(member.size)))
                continue
            name, content = member
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            info.size = len(content or b"")
            archive.addfile(info, io.BytesIO(content or b""))
    return out.getvalue()


def special(name: str, kind: bytes, **more: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in more.items():
        setattr(info, field, value)
    return info


def opened(tmp_path: Path, content: bytes, limits: Limits | None = None) -> dict[str, bytes]:
    (tmp_path / "archive").write_bytes(content)
    unpack(tmp_path / "archive", tmp_path / "out", limits)
    return {name: path.read_bytes() for name, path in tree.files_below(tmp_path / "out").items()}


PLAIN: list[tuple[str, bytes | None]] = [
    ("./", None),
    ("./params.json", b"{}"),
    ("model/", None),
    ("model/a.pb", b"x" * 1500),
    ("b/c/d", b""),
]
FORMS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


@pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:]) + bytes(512)]
)
@pytest.mark.parametrize("form", FORMS)
def test_plain_archives_come_out_as_they_went_in(tmp_path: Path, form: str, compress: Callable[[bytes], bytes]) -> None:
    found = opened(tmp_path, compress(packed(*PLAIN, form=FORMS[form])))
    assert found == {"params.json": b"{}", "model/a.pb": b"x" * 1500, "b/c/d": b""}
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_long_and_foreign_names(tmp_path: Path, form: str) -> None:
    long, foreign = "/".join(["folder" * 9] * 6) + "/model.pb", "modèle/größe.pb"
    assert opened(tmp_path, packed((long, b"1"), (foreign, b"2"), form=FORMS[form])) == {long: b"1", foreign: b"2"}


REFUSED: dict[str, bytes] = {
    "traversal": packed(("../../escaped", b"x")),
    "traversal within": packed(("model/../../escaped", b"x")),
    "absolute": packed(("/tmp/escaped", b"x")),
    "traversal by pax": packed(special("x", tarfile.REGTYPE, pax_headers={"path": "../escaped"})),
    "symbolic link": packed(special("link", tarfile.SYMTYPE, linkname="/etc"), ("link/passwd", b"x")),
    "hard link": packed(special("link", tarfile.LNKTYPE, linkname="/etc/passwd")),
    "device": packed(special("null", tarfile.CHRTYPE, devmajor=1, devminor=3)),
    "block device": packed(special("disk", tarfile.BLKTYPE)),
    "pipe": packed(special("pipe", tarfile.FIFOTYPE)),
    "sparse": packed(special("sparse", tarfile.REGTYPE, pax_headers={"GNU.sparse.major": "1", "GNU.sparse.realsize": "9" * 15})),
    "unknown type": packed(special("strange", b"Z")),
    "twice": packed(("a", b"1"), ("a", b"2")),
    "a file as folder": packed(("a", b"1"), ("a/b", b"2")),
    "a folder as file": packed(("a/b", b"1"), ("a", b"2")),
    "control characters": packed(("a\n\x1b[2J", b"1")),
    "no text": packed(("a\udcff", b"1"), form=tarfile.GNU_FORMAT),
    "a long component": packed(("a" * 300, b"1")),
    "deep": packed(("a/" * 40 + "b", b"1")),
    "a long name": packed(("a/" * 40_000 + "b", b"1")),
    "empty": b"",
    "zip": b"PK\x03\x04" + bytes(2000),
    "text": b"hello\n" * 300,
    "gzip of gzip": gzip.compress(gzip.compress(packed(*PLAIN))),
    "gzip of text": gzip.compress(b"hello\n" * 300),
    "broken gzip": gzip.compress(os.urandom(5000))[:-3000] + os.urandom(3000),
    "wrong checksum": gzip.compress(packed(*PLAIN))[:40] + b"\0\0\0\0" + gzip.compress(packed(*PLAIN))[44:],
    "a wrong extended header": packed(special("x", tarfile.REGTYPE, pax_headers={"size": "-1"})),
    "a header that is nonsense": packed(special("x", tarfile.REGTYPE, pax_headers={"path": "y"})).replace(b" path=y", b"\0path=y"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_plain_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ModelRefused) as caught:
        opened(tmp_path, REFUSED[kind])
    assert caught.value.remedy
    assert not (tmp_path / "escaped").exists()
    assert not (tmp_path.parent / "escaped").exists()
    assert not Path("/tmp/escaped").exists()
    assert all(path.is_relative_to(tmp_path / "out") or path.name in {"archive", "out"} for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_an_archive_that_is_cut_anywhere_is_refused(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    whole = packed(*PLAIN)
    content = compress(whole[: whole.rindex(b"b/c/d") + 512])
    for end in [*range(0, len(content), 97), len(content)]:
        (folder := tmp_path / str(end)).mkdir()
        with pytest.raises(ModelRefused):
            opened(folder, content[:end])


def test_too_many_members(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="too many members"):
        opened(tmp_path, gzip.compress(packed(("x/", None))[:512] * 100_000))
    (folder := tmp_path / "headers").mkdir()
    header = packed(special("x", tarfile.REGTYPE, pax_headers={"path": "y"}))[:1024]
    with pytest.raises(TooLarge, match="too many members"):
        opened(folder, header * 100_000, Limits(size=1 << 40))


def bomb(size: int) -> bytes:
    """Zeros in a tar, packed by gzip, without ever having them here."""
    info = tarfile.TarInfo("zeros")
    info.size = size
    engine = zlib.compressobj(9, wbits=31)
    parts = [engine.compress(info.tobuf())]
    parts += [engine.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    return b"".join([*parts, engine.compress(bytes(1024)), engine.flush()])


def test_bombs(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="200 times its size"):
        opened(tmp_path, bomb(200 << 20))
    assert sum(path.stat().st_size for path in (tmp_path / "out").iterdir()) <= 65 << 20
    (folder := tmp_path / "total").mkdir()
    with pytest.raises(TooLarge, match="100000 bytes may be in it"):
        opened(folder, packed(("a", bytes(60_000)), ("b", bytes(60_000))), Limits(size=100_000, members=4))
    (folder := tmp_path / "claims").mkdir()
    claims = tarfile.TarInfo("huge")
    claims.size = 8 << 40
    with pytest.raises(ModelRefused, match="ends too early"):
        opened(folder, claims.tobuf(tarfile.GNU_FORMAT))


def test_zeros_below_the_bound_are_no_bomb(tmp_path: Path) -> None:
    assert len(opened(tmp_path, bomb(32 << 20))["zeros"]) == 32 << 20


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(packed(("a", bytes(9000))))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
            unpack(tmp_path / "archive", tmp_path / "out")
        except StoreFull:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


SAMPLE = packed(*PLAIN, ("/".join(["folder" * 9] * 4), b"y"))


@given(seed=st.integers(0, 2**32 - 1))
def test_noise_in_an_archive_is_refused_or_harmless(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    chance = random.Random(seed)
    content = bytearray(SAMPLE)
    for _ in range(chance.randint(1, 8)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    folder = tmp_path_factory.mktemp("noise")
    with suppress(DodasError):
        opened(folder, bytes(content))
    assert {path.name for path in folder.iterdir()} == {"archive", "out"}
