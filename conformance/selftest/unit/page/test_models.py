"""A page over runs of models has a line for each module: its verdict in each run, as the terminal tells it."""

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from conformance.page import models
from conformance.page.drawing import page
from conformance.page.runs import read
from conformance.results.document import Module
from conformance.selftest.unit.page.examples import file, results
from conformance.selftest.unit.page.test_page_command import HOSTILE, Seen

MADE = datetime(2026, 12, 1, tzinfo=timezone.utc)


def module(name, verdict="PASS", broken=(), asked=4, reached=4):
    return Module("tagger:build", name, "v1 lstm i3 h4 float32", 0, True, verdict, broken, asked, reached)


def runs_of(folder, *made):
    return read(file(folder, *made))[0]


@pytest.mark.parametrize(
    ("one", "state"),
    [
        (module("rnn"), "pass"),
        (module("rnn", reached=3), "part"),
        (module("rnn", "FAIL", ("B1", "C1")), "red"),
        (module("rnn", "NOTHING", reached=0), "nothing"),
    ],
)
def test_state_of_a_module_is_its_verdict_and_never_passed_where_properties_were_not_reached(one, state, tmp_path):
    runs = runs_of(tmp_path, results("2.6.0"), results("2.13.0", modules=(one,)))
    (line,) = models.lines(runs)
    assert [look.state.name for look in line.looks] == ["not run", state]
    text = page(runs, [], MADE)
    (shown,) = [row for row in text.splitlines() if "<bdi>rnn</bdi>" in row]
    assert f"</span> {state}" in shown
    assert f"{one.reached} of 4 properties" in shown
    assert all(clause in shown for clause in one.broken)


def test_every_module_of_every_run_has_a_line(tmp_path):
    runs = runs_of(
        tmp_path,
        results("2.6.0", modules=(module("encoder.rnn"), module("cell"))),
        results("2.13.0", modules=(module("cell"), module("decoder"))),
    )
    assert [line.name for line in models.lines(runs)] == ["encoder.rnn", "cell", "decoder"]


def test_page_of_no_model_has_no_models(tmp_path):
    assert 'id="models"' not in page(runs_of(tmp_path, results()), [], MADE)


def test_names_of_models_do_not_leave_their_place(tmp_path):
    hostile = replace(module(HOSTILE.strip(), "FAIL", (HOSTILE.strip(),)), model=HOSTILE.strip(), case=HOSTILE.strip())
    seen = Seen(page(runs_of(tmp_path, results(modules=(hostile,))), [], MADE))
    assert not {"script", "img"} & {tag for tag, _ in seen.tags}
    assert sum(HOSTILE.strip() in text for _, text in seen.texts) == 4
