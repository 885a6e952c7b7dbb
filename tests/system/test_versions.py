"""Workers with other versions than the process that uses them: it is said when they are ready, and to whoever finds them later."""

import logging
import sys
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from jupyter_dodas import aio
from tests.place import Place
from tests.spark import SMALL

pytestmark = pytest.mark.anyio


@pytest.fixture
def python(tmp_path: Path) -> str:
    """Another interpreter with the packages of this one, which takes numpy for an older one."""
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "env")}))
    (packages / "ours.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    (packages / "numpy-0.9.dist-info").mkdir()
    (packages / "numpy-0.9.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.9\n")
    return str(tmp_path / "env" / "bin" / "python")


@pytest.mark.parametrize(("kind", "options"), [("dask", {}), ("spark", SMALL)])
async def test_a_launch_says_what_differs(
    place: Place, python: str, caplog: pytest.LogCaptureFixture, kind: str, options: Mapping[str, Any]
) -> None:
    environment = {"python": python}
    async with await aio.launch(kind, name="higgs", workers=1, environment=environment, warm=False, **options) as cluster:
        assert said(caplog) == [
            f"higgs has other versions than this process: numpy 0.9 (here {version('numpy')}). "
            "What is sent between them may not be understood."
        ]
        await cluster.connection()
        assert len(said(caplog)) == 1, "once is enough"
        await (await aio.connect("higgs")).connection()
        assert len(said(caplog)) == 2, "this one had not heard of it"
        assert (await cluster.record()).status.versions["numpy"] == "0.9"
    caplog.clear()
    async with await aio.launch(kind, name="higgs", workers=1, warm=False, **options) as same:
        assert (await same.record()).status.versions["numpy"] == version("numpy")
    assert not said(caplog)


def said(caplog: pytest.LogCaptureFixture) -> Sequence[str]:
    return [record.getMessage().partition("\n")[0] for record in caplog.records if record.levelno >= logging.WARNING]
