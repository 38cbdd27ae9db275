"""Requests about memory have a child of their own, with caches as large as the user or PyTorch has them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conformance import SET_HERE, SMALLER_CACHES
from conformance.harness import session
from conformance.harness.execution import subject
from conformance.harness.execution.requests.forward import Forward
from conformance.harness.findings.deviation import Deviation
from conformance.harness.isolation import worker_process
from conformance.harness.isolation.worker_process import ALONE
from conformance.harness.property import properties
from conformance.harness.session import Session
from reference.problem import GRU
from strategies import Case

ROOT = Path(__file__).parents[4]

TELLING = """
import os, torch
NAMES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")
class GRU(torch.nn.GRU):
    def forward(self, input, hx=None):
        raise ValueError(f"{os.getpid()} {[os.environ.get(name) for name in NAMES]}")
"""

DEADLY = """
import os, torch
class GRU(torch.nn.GRU):
    def forward(self, input, hx=None):
        os.abort() if len(input) > 3 else None
        return super().forward(input, hx)
"""


@pytest.fixture
def lone(monkeypatch):
    """Begins children of the test's own, with the variables that are set then."""
    made = []

    def begin():
        worker_process.pool().close()  # its server has the variables that were set when it began
        made.append(worker_process._lone.__wrapped__())
        monkeypatch.setattr(worker_process, "_lone", lambda: made[-1])

    yield begin
    for pool in made:
        pool.close()


def told(module):
    """What two calls of a subject tell, each of its child."""
    judged, request = subject.named([module]), Forward(Case().on(GRU), ("grad",))
    failures = [ALONE.execute(judged, request)[0].failure for _ in range(2)]
    return [failure.message.split(" ", 1) for failure in failures if failure is not None]


def test_every_request_has_a_child_of_its_own_with_caches_of_their_own_size(lone, tmp_path, monkeypatch):
    (tmp_path / "telling_of_caches.py").write_text(TELLING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(SET_HERE, "LRU_CACHE_CAPACITY")
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "7")  # as if the user had set it
    lone()
    (first, caches), (second, again) = told("telling_of_caches")
    assert first != second
    assert caches == again == "[None, '7']"


def test_death_in_a_lap_is_a_finding(lone, tmp_path, monkeypatch):
    (tmp_path / "deadly_in_laps.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(tmp_path)
    lone()
    (tested,) = (tested for tested in properties() if tested.clause.id == "D5")
    with session.nested(Session(subject.named(["deadly_in_laps"]))), pytest.raises(Deviation) as raised:
        tested.check(GRU, None)
    found = raised.value.finding
    assert (found.severity, found.clause, found.kind) == ("red", "D5", "killed by signal 6 (SIGABRT)")


SAY = f"import os, conformance; print([os.environ.get(name) for name in {[*SMALLER_CACHES, SET_HERE]}])"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, ["128", "32", "ONEDNN_PRIMITIVE_CACHE_CAPACITY LRU_CACHE_CAPACITY"]),
        ({"LRU_CACHE_CAPACITY": "5"}, ["128", "5", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"]),
        ({SET_HERE: "LRU_CACHE_CAPACITY"}, [None, None, "LRU_CACHE_CAPACITY"]),
    ],
)
def test_caches_are_made_smaller_once_and_where_the_user_says_nothing(given, said):
    plain = {name: value for name, value in os.environ.items() if name not in (*SMALLER_CACHES, SET_HERE)}
    done = subprocess.run(
        [sys.executable, "-c", SAY], env=plain | given, cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(said)
