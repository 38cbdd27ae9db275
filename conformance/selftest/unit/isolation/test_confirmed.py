"""A death of an invalid call counts where it comes again, alone or after the calls that it needs."""

import pytest

from conformance.harness.execution.requests.invalid.call import CallInvalidly
from conformance.harness.execution.subject import named
from conformance.harness.isolation import confirmed
from conformance.harness.isolation.confirmed import CONFIRMED
from strategies import parse

GRU = """
import os, torch

class GRU(torch.nn.GRU):
    calls = 0

    def forward(self, x, hx=None):
        if hx is not None and hx.shape[0] > 1:
            GRU.calls += 1
            if GRU.calls >= {}:
                os._exit(3)
        return super().forward(x, hx)
"""


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """Makes a subject whose GRU ends its process in so many calls with a layer too many."""
    monkeypatch.syspath_prepend(tmp_path)
    confirmed._children().end_child()

    def make(name, calls):
        (tmp_path / f"{name}.py").write_text(GRU.format(calls))
        return named([name])

    yield make
    confirmed._children().close()


def request(line):
    case, cell = parse(line)
    return CallInvalidly(case.on(cell), ("grad",), spoil=case.spoil)


LAYERS, FEATURES = "v1 gru bad=h_0.layers+1", "v1 gru bad=input.features+1"


def test_death_that_comes_again_alone_is_told_as_it_is(judged):
    (seen,) = CONFIRMED.execute(judged("dies_at_once", 1), request(LAYERS))
    assert seen.failure.title == "ended the process with exit code 3"
    assert seen.failure.message == ""


def test_death_that_needs_calls_before_it_says_how_many(judged):
    subject = judged("dies_at_the_third", 7)
    for _ in range(2):
        assert CONFIRMED.execute(subject, request(LAYERS))[0].failure is None
        assert CONFIRMED.execute(subject, request(FEATURES))[0].failure is None
    (seen,) = CONFIRMED.execute(subject, request(LAYERS))
    assert seen.failure.ended_process
    assert seen.failure.message == "after 4 other calls in one process"


RAISES = """
import torch, time

class GRU(torch.nn.GRU):
    def forward(self, x, hx=None):
        if hx is not None and hx.shape[0] > 1:
            {}
        return super().forward(x, hx)
"""


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise SystemExit(3)", "ended the process by SystemExit: 3"),
        ("raise KeyboardInterrupt", "ended the process by KeyboardInterrupt"),
    ],
)
def test_exception_that_ends_a_process_is_named(body, told, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    confirmed._children().end_child()
    name = f"ends_by_{told.split()[4].rstrip(':').lower()}"
    (tmp_path / f"{name}.py").write_text(RAISES.format(body))
    (seen,) = CONFIRMED.execute(named([name]), request(LAYERS))
    assert seen.failure.text == told
    assert seen.failure.ended_process
    assert CONFIRMED.execute(named([name]), request(FEATURES))[0].failure is None
    confirmed._children().close()


def test_only_the_first_hang_of_a_test_is_waited_for_in_full(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    children = confirmed._children()
    children.end_child()
    (tmp_path / "hangs_long.py").write_text(RAISES.format("time.sleep(600)"))
    asked, patience = [], type(children)._patience

    def noted(children):
        asked.append(patience(children))
        return asked[-1]

    monkeypatch.setattr(confirmed, "pool", lambda: type(children)(limit=5.0))
    monkeypatch.setattr(type(children), "_patience", noted)
    confirmed.new_test()
    (seen,) = CONFIRMED.execute(named(["hangs_long"]), request(LAYERS))
    assert seen.failure.text == "did not return within 5 s"
    assert asked == [5.0, confirmed.SHORTEST_LIMIT_SECONDS]
    confirmed.new_test()
    CONFIRMED.execute(named(["hangs_long"]), request(FEATURES))
    assert asked[-1] == 5.0
    children.close()
