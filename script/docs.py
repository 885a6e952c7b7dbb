"""Hold the pages to their word: relative links lead somewhere, and Python blocks run."""

import argparse
import ast
import asyncio
import inspect
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupyter_dodas as dodas

ROOT = Path(__file__).resolve().parent.parent
PAGE_WITHIN = 300.0

BLOCK = re.compile(r"^```python[ \t]*(?P<mark>[^\n]*)\n(?P<source>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```.*?^```[ \t]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!`)\[[^\]]*\]\((?P<target>[^)\s]+)(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#+\s+(?P<title>.*?)\s*$", re.MULTILINE)


def main() -> int:
    """Check the pages that are named, or all."""
    parser = argparse.ArgumentParser(prog="script/docs", description=__doc__)
    parser.add_argument("pages", nargs="*", type=Path)
    parser.add_argument("--run", action="store_true", help="run the blocks of one page in this process")
    arguments = parser.parse_args()
    if arguments.run:
        run_blocks(arguments.pages[0])
        return 0
    pages = [page.resolve() for page in arguments.pages] or sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
    wrong = 0
    for page in pages:
        problems = [*broken_links(page), *failing_blocks(page)]
        wrong += len(problems)
        print(f"{page.relative_to(ROOT) if page.is_relative_to(ROOT) else page}: {'; '.join(problems) or 'fine'}")
    return 1 if wrong else 0


def broken_links(page: Path) -> Iterator[str]:
    """Yield a sentence for each relative link that leads nowhere."""
    text = FENCE.sub("", page.read_text("utf-8"))
    for match in LINK.finditer(text):
        target, _, anchor = match["target"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        there = (page.parent / target).resolve() if target else page
        if not there.exists():
            yield f"there is no {target}"
        elif anchor and there.suffix == ".md" and anchor not in anchors(there):
            yield f"{there.name} has no heading #{anchor}"


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings get."""
    text = FENCE.sub("", page.read_text("utf-8"))
    return {re.sub(r"[^\w\- ]", "", match["title"].lower()).replace(" ", "-") for match in HEADING.finditer(text)}


def blocks(page: Path) -> Iterator[tuple[int, str]]:
    """Yield the Python blocks that are meant to run, each with the number of its first line."""
    text = page.read_text("utf-8")
    for match in BLOCK.finditer(text):
        if match["mark"].strip() != "no-run":
            yield text.count("\n", 0, match.start("source")) + 1, match["source"]


def failing_blocks(page: Path) -> Iterator[str]:
    """Run the blocks of a page in a process of their own, and yield what went wrong."""
    if not list(blocks(page)):
        return
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dodas-docs-") as folder:
        session = f"docs-{secrets.token_hex(6)}"
        state = {"DODAS_STATE": f"{folder}/state", "DODAS_LINGER": "0", "DODAS_SESSION": session}
        os.environ.update(state)
        try:
            done = subprocess.run(
                [sys.executable, __file__, "--run", page],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=PAGE_WITHIN,
                check=False,
            )
            if done.returncode:
                yield f"a block fails:\n{done.stdout}{done.stderr}"
        except subprocess.TimeoutExpired:
            yield f"its blocks run for more than {PAGE_WITHIN:.0f} seconds"
        finally:
            for cluster in dodas.list(session=session):
                cluster.stop()
    print(f"  ran {page.name} in {time.monotonic() - began:.1f} s", file=sys.stderr)


def run_blocks(page: Path) -> None:
    """Run the blocks of a page one after the other, as cells of a notebook: names stay, `await` may stand at the top."""
    names: dict[str, Any] = {"__name__": "__main__"}
    with asyncio.Runner() as runner:
        for line, source in blocks(page):
            # As many empty lines before, so that an error tells the line of the page.
            code = compile("\n" * (line - 1) + source, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, names)
            if inspect.iscoroutine(result):
                runner.run(result)


if __name__ == "__main__":
    sys.exit(main())
