"""A report leads with the plain call, where it fails too."""

from conformance.commands.report import distinct, found_by
from conformance.harness import session
from conformance.harness.property import properties
from conformance.harness.reports.scripts.whole import circumstances
from conformance.harness.session import Session
from conformance.selftest.implementations.plain import Plain, subject
from strategies import parse

PLAIN = "test_results_lie_within_their_error_bound"
LAID_OUT = "test_results_lie_within_their_error_bound_wherever_parameters_lie"
CHANGED = "test_changed_weights_are_those_of_the_next_call"


class Shifts(Plain):
    """Is wrong however it is called."""

    def run(self, sequence, states, layer, direction):
        return super().run(sequence + 2**-4, states, layer, direction)


def unusual(told):
    """How much is unusual about the call of a finding."""
    return len(list(circumstances(told[2].seen)))


def test_plain_call_leads_and_stands_for_the_same_finding_elsewhere():
    case, cell = parse("v1 gru i1 h1 t1 float32 fill=dyadic pick=1")
    tested = {one.name: one for one in properties()}
    with session.nested(Session(subject("shifts", Shifts))) as here:
        found = [
            (tested[name], cell, one)
            for name in (CHANGED, LAID_OUT, PLAIN)
            for one in found_by(here, tested[name], cell, case)
        ]
        told = distinct(found)
    assert unusual(found[0]) > unusual(found[-1]) == 0
    assert told[0][0].name == PLAIN
    assert LAID_OUT not in {one.name for one, *_ in told}
    assert [unusual(one) for one in told] == sorted(map(unusual, told))
