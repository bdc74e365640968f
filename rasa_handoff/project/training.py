"""What a bot learns from: its rules and stories, and its examples of what users say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rasa_handoff.project.shapes import mapping, mappings


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A rule or a story: one way that a conversation goes."""

    name: str
    file: Path
    is_rule: bool
    steps: Sequence[Mapping[str, Any]]
    conditions: Sequence[Mapping[str, Any]] = ()

    def actions(self) -> Iterator[str]:
        for step in self.steps:
            if "action" in step:
                yield str(step["action"])

    def answer_to(self, intent: str) -> str | None:
        """The first action behind *intent*."""
        heard = False
        for step in self.steps:
            if heard and "action" in step:
                return str(step["action"])
            heard = heard or intent in _intents(step)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """All training data of a bot."""

    courses: Sequence[Course] = ()
    examples: Mapping[str, int] = field(default_factory=dict)  #: how many each intent has

    @property
    def actions(self) -> frozenset[str]:
        """Every action and response that a rule or a story takes."""
        return frozenset(action for course in self.courses for action in course.actions())

    def answers_to(self, intent: str) -> list[Course]:
        """The rules and stories in which something follows on *intent*."""
        return [course for course in self.courses if course.answer_to(intent) is not None]


def gather(contents: Iterable[tuple[Path, Any]]) -> Training:
    """The training data in the values of some YAML files."""
    courses: list[Course] = []
    examples: dict[str, int] = {}
    for path, content in contents:
        if not isinstance(content, dict):
            continue
        courses += _courses(path, content.get("stories"), "story")
        courses += _courses(path, content.get("rules"), "rule")
        for intent, count in (*_examples(content.get("nlu")), *_examples_in_json(content.get("rasa_nlu_data"))):
            examples[intent] = examples.get(intent, 0) + count
    return Training(courses=courses, examples=examples)


def _courses(path: Path, listed: Any, title: str) -> Iterator[Course]:
    for item in mappings(listed):
        if title in item:
            yield Course(
                name=str(item[title]),
                file=path,
                is_rule=title == "rule",
                steps=mappings(item.get("steps")),
                conditions=mappings(item.get("condition")),
            )


def _examples(listed: Any) -> Iterator[tuple[str, int]]:
    for item in mappings(listed):
        if "intent" in item:
            found = item.get("examples") or ""
            lines = found if isinstance(found, list) else str(found).splitlines()
            yield str(item["intent"]), sum(1 for line in lines if str(line).strip())


def _examples_in_json(data: Any) -> Iterator[tuple[str, int]]:
    """Those in Rasa's format of JSON."""
    for item in mappings(mapping(data).get("common_examples")):
        if "intent" in item:
            yield str(item["intent"]), 1


def _intents(step: Mapping[str, Any]) -> list[str]:
    """What users may mean in this step."""
    options = step["or"] if isinstance(step.get("or"), list) else [step]
    return [str(each["intent"]).lstrip("/") for each in mappings(options) if "intent" in each]
