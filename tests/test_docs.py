"""The documentation is true: its settings are read, its links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from rasa_handoff import backends, channels
from rasa_handoff.backends import settings_models
from rasa_handoff.errors import ConfigError
from rasa_handoff.liveperson_agent import settings as liveperson_agent
from rasa_handoff.settings import read_section

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SECTION = "rasa_handoff.HandoffInput"


def blocks() -> Iterator[tuple[str, str]]:
    """Every YAML block of every page that has a section of ours."""
    for page in PAGES:
        for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)):
            if f"{SECTION}:" in block:
                yield f"{page.relative_to(ROOT)} {number}", block


def quoted_variables() -> Iterator[str]:
    """Every quoted text of the pages' YAML that names an environment variable."""
    for page in PAGES:
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            for quoted in re.findall(r"""["'][^"'\n]*\$\{\w+\}[^"'\n]*["']""", block):
                yield f"{page.relative_to(ROOT)}: {quoted}"


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
            if not link.startswith(("http:", "https:", "mailto:")):
                yield page, link


@pytest.mark.parametrize(("where", "block"), [pytest.param(*each, id=each[0]) for each in blocks()])
def test_the_settings_in_the_docs_are_settings(where: str, block: str) -> None:
    # Rasa fills in ${ENV}; here every variable has a value long enough for a token.
    filled = re.sub(r"\$\{(\w+)\}", lambda found: found[1].lower().ljust(32, "0"), block)
    sections = yaml.safe_load(filled)
    read_section(sections[SECTION], settings_models(), channels.settings_models())
    if liveperson_agent.CHANNEL in sections:
        liveperson_agent.read(sections[liveperson_agent.CHANNEL])


def test_rasa_fills_in_every_variable_of_the_docs() -> None:
    """It leaves those in quotes as they are."""
    assert list(quoted_variables()) == []


@pytest.mark.parametrize(
    ("page", "link"), [pytest.param(*each, id=f"{each[0].relative_to(ROOT)}-{each[1]}") for each in links()]
)
def test_links_lead_somewhere(page: Path, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    assert target.exists(), f"{link} leads nowhere"
    if anchor and target.suffix == ".md":
        titles = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def faults_of(section: dict[str, Any], models: Mapping[str, type[BaseModel]]) -> list[str]:
    with pytest.raises(ConfigError) as found:
        read_section({"backends": section}, models)
    return [fault for fault in found.value.faults if fault.startswith("backends.")]


@pytest.mark.parametrize("name", backends.names())
def test_a_wrong_setting_of_a_backend_names_its_page(name: str) -> None:
    page = f"docs/backends/{name}.md"
    assert (ROOT / page).is_file()
    faults = faults_of({name: {"no_such_setting": "x"}}, settings_models())
    assert faults
    assert [fault for fault in faults if not fault.endswith(f" (see {page})")] == []


def test_a_wrong_setting_of_a_backend_of_another_package_names_no_page_of_ours() -> None:
    class Acme(BaseModel, extra="forbid"):
        url: str

    assert "docs/" not in str(faults_of({"acme": {}}, {"acme": Acme}))


def test_a_wrong_setting_of_the_agent_names_its_page() -> None:
    with pytest.raises(ConfigError) as found:
        liveperson_agent.read({"account": "le/1"})
    assert all(fault.endswith(f" (see {liveperson_agent.PAGE})") for fault in found.value.faults)
    assert (ROOT / liveperson_agent.PAGE).is_file()
