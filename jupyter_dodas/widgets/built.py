"""What the browser runs, as `labextension/build.mjs` has built it."""

from pathlib import Path
from typing import Final

__all__ = ["CARD", "LAUNCHER", "STYLE"]

_FOLDER: Final = Path(__file__).parent / "static"

# In a checkout whose screens are not built, a widget says so, and everything else about it works.
_MISSING: Final = """export default { render({ el }) {
  el.textContent = "The cards of jupyter-dodas are not built. In a checkout: script/test lab, or: cd labextension && npm run build";
} };
"""


def _read(name: str, otherwise: str) -> str:
    file = _FOLDER / name
    return file.read_text("utf-8") if file.is_file() else otherwise


CARD: Final = _read("card.js", _MISSING)
LAUNCHER: Final = _read("launcher.js", _MISSING)
STYLE: Final = _read("card.css", "\n")
