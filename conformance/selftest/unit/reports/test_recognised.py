"""facts.md names the relation that the terminal names."""

from conformance.commands.report import found_by, recognised
from conformance.harness import session
from conformance.harness.property import properties
from conformance.harness.reports.facts import facts
from conformance.harness.reports.minimiser.minimise import minimised
from conformance.harness.session import Session
from conformance.selftest.faults.catalogue import faults
from strategies import parse


def test_facts_say_what_the_numbers_would_be_right_for():
    case, cell = parse("v1 lstm i2 h2 t2 n2 float32 fill=uniform seed=3")
    fault = next(fault for fault in faults() if fault.name == "lstm-gates-read-as-figo")
    tested = next(one for one in properties() if one.name == "test_results_lie_within_their_error_bound")
    with session.nested(Session(fault.subject)) as here:
        found = next(found_by(here, tested, cell, case))
        least = recognised(here, found, minimised(here, tested, cell, case, found))
    assert least.finding.what
    seen = facts(least, "").partition("## Documented")[0]
    assert "\n  what     " in seen
    assert " ".join(least.finding.what[0].split()[:3]) in " ".join(seen.split())
