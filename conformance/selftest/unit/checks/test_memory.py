"""What laps may add to the memory of a process."""

import pytest

from conformance.clauses import CLAUSES
from conformance.harness.checks import case_record
from conformance.harness.checks.case_record import CaseRecord
from conformance.harness.checks.memory import MOST_PER_CALL, assert_no_more_memory
from conformance.harness.execution.observation import InLaps
from conformance.harness.execution.subject import torch_nn
from conformance.harness.session import Session, nested
from reference.problem import GRU
from strategies import Case

CALLS = 100
MOST = 4 * CALLS * MOST_PER_CALL


def judged(*laps):
    """The record of a case in which laps added so many bytes."""
    seen = InLaps(Case().on(GRU), "torch.nn", "grad", laps=laps, calls=CALLS)
    with nested(Session(torch_nn())) as here:
        record = CaseRecord(here, CLAUSES["D5"], "test_own", GRU)
        with case_record.entered(record):
            assert_no_more_memory(seen)
    return record


@pytest.mark.parametrize("laps", [(10 * MOST, 10 * MOST, 0, 0, 0, 0), (0, 0, MOST, 0, 0, 0), (0, 0, 9, -99, 9, 9)])
def test_first_laps_may_fill_caches_and_later_ones_may_add_what_is_allowed(laps):
    record = judged(*laps)
    assert record.findings == []
    assert record.elements == 4


@pytest.mark.parametrize("later", [(MOST + 1, 0, 0, 0), (MOST / 2, -MOST / 4, MOST / 2, MOST / 2)])
def test_laps_that_add_more_are_a_finding_that_lists_them_all(later):
    ((finding, *_),) = judged(72_100_000, 600_000, *later).findings
    assert (finding.severity, finding.clause, finding.kind) == ("red", "D5", "grows")
    assert "added 72.1, 0.6, " in finding.lines[0]
    assert "allowed 8 kB a call" in finding.lines[1]


def test_nothing_is_judged_where_memory_is_not_known():
    record = judged()
    assert (record.elements, record.findings) == (0, [])
