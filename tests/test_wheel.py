"""The built wheel: what is in it, and that it fits into a Rasa 3.6.21 environment without changing it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from email.parser import Parser
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing of an earlier build gets in."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "rasa_handoff", source / "rasa_handoff", ignore=shutil.ignore_patterns("__pycache__"))
    pip("wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(source))
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


def pip(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_of_the_package_is_in_it(names: set[str]) -> None:
    """The pages of the desk and of the chat, the type marker and all modules."""
    there = {path.relative_to(ROOT).as_posix() for path in package_files()}
    assert there <= names
    assert {"rasa_handoff/py.typed", "rasa_handoff/desk/pages/console.html"} <= there
    assert any(name.startswith("rasa_handoff/web/pages/") for name in there)


def package_files() -> Iterator[Path]:
    for path in (ROOT / "rasa_handoff").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
            yield path


def test_nothing_else_is_in_it(names: set[str]) -> None:
    assert {name.split("/")[0].split("-")[0] for name in names} <= {"rasa_handoff"}


def test_installing_it_changes_none_of_rasas_packages(wheel: Path, tmp_path: Path) -> None:
    """Pip, which may fetch nothing, finds that all it needs is there already."""
    plan = tmp_path / "plan.json"
    pip("install", "--no-index", "--dry-run", "--report", str(plan), str(wheel))
    planned = {each["metadata"]["name"] for each in json.loads(plan.read_text())["install"]}
    assert planned <= {"rasa-handoff"}
    assert version("rasa") == "3.6.21"


def test_its_requirements_are_those_of_the_environment(wheel: Path, names: set[str]) -> None:
    """Rasa itself is never required: rasa and rasa-pro own the same package."""
    (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    with ZipFile(wheel) as archive:
        fields = Parser().parsestr(archive.read(metadata).decode())
    required = [Requirement(line) for line in fields.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {each.name for each in required} == {
        "aiohttp",
        "prometheus-client",
        "pydantic",
        "PyJWT",
        "ruamel.yaml",
        "sanic",
        "yarl",
    }
    for each in required:
        assert version(each.name) in each.specifier


def test_the_installed_wheel_runs(wheel: Path, tmp_path: Path) -> None:
    pip("install", "--no-index", "--no-deps", "--target", str(tmp_path), str(wheel))
    command = [sys.executable, "-c", "import rasa_handoff.cli as cli; print(cli.__file__); cli.main(['--help'])"]
    said = subprocess.check_output(command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, text=True)
    assert said.startswith(str(tmp_path))
    assert "check-settings" in said
