"""The pages keep their word: links lead somewhere, and their Python runs."""

import subprocess

from tests.place import ROOT


def test_every_link_leads_somewhere_and_every_block_runs() -> None:
    done = subprocess.run([ROOT / "script" / "docs"], capture_output=True, text=True, check=False)
    wrong = [line for line in done.stdout.splitlines() if not line.endswith(": fine")]
    assert done.returncode == 0, "\n".join(wrong)
