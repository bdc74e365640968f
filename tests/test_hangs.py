"""A test that hangs is named by whoever runs the tests, and the others run all the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

HANGS = '''
import asyncio


async def test_hangs():
    """Something in the background is busy for ever, and takes every exception for its own."""

    async def works():
        while True:
            try:
                await asyncio.sleep(0)
            except BaseException:
                pass

    working = asyncio.create_task(works())
    await asyncio.Event().wait()


def test_another():
    pass
'''


@pytest.mark.slow
def test_a_hang_names_its_test_and_does_not_keep_the_others_from_running(tmp_path: Path) -> None:
    (tmp_path / "test_of_somebody.py").write_text(HANGS)
    ours = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), "-p", "no:cacheprovider"]
    run = [sys.executable, "-m", "pytest", *ours, "--numprocesses", "1", str(tmp_path)]
    limits = ["--timeout", "10", "-o", "faulthandler_timeout=5"]
    done = subprocess.run([*run, *limits], capture_output=True, text=True, timeout=300, check=False)
    assert "crashed while running 'test_of_somebody.py::test_hangs'" in done.stdout
    assert "1 failed, 1 passed" in done.stdout
    assert "in run_forever" in done.stderr, "where it was is said, too"
