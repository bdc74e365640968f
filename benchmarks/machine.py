"""The cores of this machine, and what a process has used of them."""

from __future__ import annotations

import os
import platform
import sqlite3
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


def cores() -> tuple[int, int]:
    """One for the measured servers and one for load and sink; the same one where there is only one."""
    ours = sorted(os.sched_getaffinity(0))
    return ours[0], ours[-1]


def pin(core: int, pid: int = 0) -> None:
    """Keep a process on one core."""
    os.sched_setaffinity(pid, {core})


def cpu_seconds(pid: int) -> float:
    """What all threads of a process have computed so far."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def memory(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def describe() -> str:
    """What the numbers were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    number = len(os.sched_getaffinity(0))
    versions = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return f"{number} cores of {names[0] if names else platform.machine()}, {versions}"
