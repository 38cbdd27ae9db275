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
    subject = judged("dies_at_the_third", 5)
    for _ in range(2):
        assert CONFIRMED.execute(subject, request(LAYERS))[0].failure is None
        assert CONFIRMED.execute(subject, request(FEATURES))[0].failure is None
    (seen,) = CONFIRMED.execute(subject, request(LAYERS))
    assert seen.failure.ended_process
    assert seen.failure.message == "after 4 other calls in one process"
