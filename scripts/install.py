"""Brings the virtual environment to what this checkout needs, and says what it is doing.

Runs on a bare Python 3.10, before anything is installed. Nothing happens when nothing changed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DESCRIBED_IN = ("pyproject.toml", "constraints.txt", "scripts/install.py")
QUIET = 15.0  #: seconds without a word from pip after which we say that it still works

# What tests need besides Python packages: any of these commands, and Debian's package with it.
PROGRAMS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    "redis-server": ("redis-server",),
}


def main() -> int:
    """Install what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where the environment is made")
    parser.add_argument("--extras", default="demo", help="which extras of pyproject.toml to install")
    parser.add_argument("--programs", action="store_true", help="also Chromium and Redis, for the tests")
    asked = parser.parse_args()
    try:
        install_packages(asked.venv, asked.extras)
        if asked.programs:
            install_programs()
    except Failed as failure:
        print(f"\n{failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The same command carries on where this one was.", file=sys.stderr)
        return 130
    return 0


class Failed(Exception):
    """A step failed; the message says what to do."""


# Python packages


def install_packages(venv: Path, extras: str) -> None:
    """Make the environment and install this checkout into it, unless that was done before."""
    stamp = venv / f".installed-{extras.replace(',', '-')}"
    wanted = fingerprint()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    started = time.monotonic()
    make_venv(venv)
    step(f"Installing [{extras}] into {shown(venv)} (Rasa brings 2 GB: minutes the first time)")
    quiet = ["--constraint", "constraints.txt", "--progress-bar", "off"]
    run_pip(venv, "install", *quiet, "--editable", f".[{extras}]")
    stamp.write_text(wanted)
    step(f"Installed in {time.monotonic() - started:.0f} s")


def fingerprint() -> str:
    """What the environment is made from, in one word."""
    digest = hashlib.sha256(sys.version.encode())
    for name in DESCRIBED_IN:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def make_venv(venv: Path) -> None:
    """A virtual environment of this Python with pip in it."""
    found = version_of(venv)
    if found == "3.10":
        return
    if found:
        raise Failed(f"{shown(venv)} is a Python {found}; remove it, or use another: make ... VENV=.venv310")
    step(f"Making {shown(venv)} with {sys.executable}")
    made = subprocess.run([sys.executable, "-m", "venv", str(venv)], capture_output=True, text=True)
    if made.returncode == 0:
        return
    if shutil.which("uv"):
        uv = ["uv", "venv", "--quiet", "--seed", "--clear", "--python", sys.executable, str(venv)]
        if subprocess.run(uv).returncode == 0:
            return
    raise Failed(
        f"{sys.executable} could not make a virtual environment:\n{made.stdout}{made.stderr}\n"
        "On Debian and Ubuntu this helps: sudo apt-get install python3.10-venv"
    )


def version_of(venv: Path) -> str | None:
    """The version of the Python in *venv*; None when there is none that has pip."""
    ask = "import pip, sys; print('%d.%d' % sys.version_info[:2])"
    try:
        return subprocess.check_output([venv / "bin" / "python", "-c", ask], text=True).strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def run_pip(venv: Path, *arguments: str) -> None:
    """Run pip, show its progress in one line each, and all it said when it fails."""
    command = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", *arguments]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said: list[str] = []
    before = unpacked(venv)
    try:
        for line in lines_of(process, lambda: f"{unpacked(venv) - before} new packages in place"):
            said.append(line)
            report(line)
    finally:
        if process.poll() is None:
            process.terminate()
    if process.wait() != 0:
        raise Failed("".join(said[-40:]) + "\npip could not install; its last words are above.")


def unpacked(venv: Path) -> int:
    """How many packages are in *venv*."""
    return sum(1 for _ in venv.glob("lib/python*/site-packages/*.dist-info"))


def lines_of(process: subprocess.Popen[str], progress: Callable[[], str]) -> Iterator[str]:
    """The lines a process writes; while it is silent, *progress* is printed."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    started = time.monotonic()
    while True:
        try:
            line = lines.get(timeout=QUIET)
        except queue.Empty:
            print(f"    ... {progress()}, {time.monotonic() - started:.0f} s", flush=True)
            continue
        if line is None:
            return
        yield line


def report(line: str) -> None:
    """Show what a line of pip's tells about progress, without its addresses and sizes."""
    word, _, rest = line.strip().partition(" ")
    if word == "Collecting":
        print(f"    {word} {rest.split(' (from')[0]}", flush=True)
    elif line.startswith("Installing collected packages"):
        print(f"    Unpacking {line.count(',') + 1}", flush=True)
    elif word in ("ERROR:", "error:"):
        print(f"    {line.strip()}", flush=True)


# Programs


def install_programs() -> None:
    """Chromium and Redis, by Debian's packages where we may."""
    missing = [package for package, commands in PROGRAMS.items() if not any(map(shutil.which, commands))]
    if not missing:
        return
    apt = apt_command()
    if apt is None:
        raise Failed(
            f"The tests need {' and '.join(missing)}, and this user cannot install them.\n"
            f"On Debian: sudo apt-get install {' '.join(missing)}\n"
            "Elsewhere: install them so that the commands are found on PATH, and run the same command again."
        )
    step(f"Installing {' and '.join(missing)} with apt-get")
    quiet = ["-o", "Dpkg::Use-Pty=0", "-qq", "-y"]
    for arguments in (["update"], ["install", "--no-install-recommends", *missing]):
        if subprocess.run([*apt, *quiet, *arguments], stdin=subprocess.DEVNULL).returncode != 0:
            raise Failed(f"{' '.join([*apt, *arguments])} failed; its words are above.")


def apt_command() -> list[str] | None:
    """How to call apt-get without being asked anything; None when that cannot be done."""
    if not shutil.which("apt-get"):
        return None
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    if os.geteuid() == 0:
        return quiet
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True).returncode == 0:
        return [sudo, "-n", *quiet]
    return None


# Words


def step(words: str) -> None:
    print(f"==> {words}", flush=True)


def shown(path: Path) -> str:
    """*path* as a person in the checkout would write it."""
    return os.path.relpath(path, ROOT)


if __name__ == "__main__":
    sys.exit(main())
