"""The answers to public questions are those of docs/judge.md."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

from conformance.__main__ import main
from conformance.harness.execution import machine
from conformance.judging.module_arguments import KEYS
from conformance.selftest.public_questions import QUESTIONS, batched_gru, save
from strategies.case_line import MOST_NUMBERS

DOCS = (Path(__file__).parents[4] / "docs" / "judge.md").read_text(encoding="utf-8")

WORDS = {0: "allowed", 1: "not allowed", 3: "nothing can be said"}


@pytest.mark.parametrize("name", QUESTIONS)
def test_answer_is_the_documented_one(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if "float16" in name and not machine.at_least(2, 6):
        pytest.skip("older releases have no float16 on CPUs")
    question = QUESTIONS[name]
    make = partial(batched_gru, 6, 30, 64) if name == "batched_gru" else question.make
    save(tmp_path / "call.npz", make())
    assert main(["judge", str(tmp_path / "call.npz")]) == question.code
    assert f"\n{WORDS[question.code]}" in capsys.readouterr().out


def test_file_that_the_documentation_writes_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (recipe,) = re.findall(r"```python\n(import json\n.*?)```", DOCS, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(recipe, {})
    assert main(["judge", "call.npz"]) == 0


def test_every_argument_and_limit_is_documented() -> None:
    assert [name for name in KEYS if f"`{name}`" not in DOCS] == []
    assert f"{MOST_NUMBERS:,} numbers" in DOCS


def test_documentation_lists_every_question() -> None:
    rows = dict(re.findall(r"^\| `(\w+)\.npz` .*\| \*\*([\w ]+)\*\*", DOCS, re.MULTILINE))
    assert rows == {name: WORDS[question.code] for name, question in QUESTIONS.items()}
    assert all(question.link in DOCS for question in QUESTIONS.values())
    assert len({question.link for question in QUESTIONS.values()}) >= 5
