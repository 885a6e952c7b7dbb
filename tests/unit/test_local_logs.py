"""Logs that go on are read by whole lines, each of them once, however the writing and the looking fall."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_dodas.backends.local import logs
from jupyter_dodas.backends.local.layout import Layout
from jupyter_dodas.settings import Settings

LINES = st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=40), max_size=30)


@given(LINES, st.lists(st.integers(1, 60), min_size=1), st.integers(1, 40))
def test_every_line_once(lines: list[str], pieces: list[int], last: int) -> None:
    text = "".join(f"{line}\n" for line in lines).encode()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.touch()
        with path.open("ab", buffering=0) as file, logs.Growing(path) as log:
            found: list[str] = []
            written = 0
            while written < len(text):
                for piece in pieces:
                    file.write(text[written : written + piece])
                    written += piece
                    found += log.more()
            assert found + list(log.rest()) == lines
        with logs.Growing(path) as log:
            assert list(log.last(last)) == lines[-last:]


def test_a_line_without_end_is_given_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 3_000_000 + b"\nend\n")
    with logs.Growing(path) as log:
        parts = [line for _ in range(4) for line in log.more()]
    assert "".join(parts[:-1]) == "x" * 3_000_000
    assert parts[-1] == "end"


@pytest.mark.anyio
async def test_last_words_are_read_when_the_folder_has_gone(tmp_path: Path) -> None:
    layout = Layout.of(Settings(state=tmp_path))
    folder = layout.cluster("higgs") / "logs"
    folder.mkdir(parents=True)
    (folder / "hub.log").write_text("first\n")
    async with aclosing(logs.tail(layout, "higgs", lambda name: True, lines=5)) as said:
        assert await anext(said) == [("hub", "first")]
        with (folder / "hub.log").open("a") as file:
            (folder / "hub.log").unlink()
            folder.rmdir()
            folder.parent.rmdir()
            file.write("last words")
            file.flush()
            assert await anext(said) == [("hub", "last words")]
        with pytest.raises(StopAsyncIteration):
            async with asyncio.timeout(5):
                await anext(said)
