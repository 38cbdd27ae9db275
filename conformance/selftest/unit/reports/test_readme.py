"""The README shows a report as it is written."""

import re
from dataclasses import replace
from pathlib import Path

from conformance.commands.report import found_by, recognised
from conformance.harness import session
from conformance.harness.execution.subject import TORCH_NN
from conformance.harness.property import properties
from conformance.harness.reports.facts import facts
from conformance.harness.reports.minimiser.minimise import minimised
from conformance.harness.reports.scripts.script import WITH_DEFECT, script
from conformance.harness.session import Session
from conformance.selftest.implementations.plain import Plain, subject
from conformance.selftest.unit.reports.test_scripts import ended, in_place_of_torch_nn
from strategies import parse

README = (Path(__file__).parents[4] / "README.md").read_text(encoding="utf-8")


class Late(Plain):
    """Step 1 reads the input of step 0."""

    def input_at(self, sequence, t, direction):
        return super().input_at(sequence, 0 if t == 1 else t, direction)


def told():
    """The finding, in its simplest form, told of torch.nn."""
    case, cell = parse("v1 lstm i1 h1 t2 float32 fill=dyadic")
    tested = next(one for one in properties() if one.name == "test_results_lie_within_their_error_bound")
    with session.nested(Session(subject("late", Late))) as here:
        found = next(one for one in found_by(here, tested, cell, case) if one.finding.field == "output")
        least = recognised(here, found, minimised(here, tested, cell, case, found))
    return least._replace(finding=replace(least.finding, subject=TORCH_NN, options=""))


def without_numbers(text):
    """Text whose numbers, which another machine rounds in another way, are left out."""
    return re.sub(r"[-\d.]*\d(?:e[-+]\d+)?(?:x[\d.a-f]+p[-+]\d+)?", "#", " ".join(text.split()))


def test_facts_and_what_the_script_prints_are_in_the_readme():
    found = told()
    seen = facts(found, "repro.py shows it: exit 10").partition("## Versions")[0].rstrip()
    with in_place_of_torch_nn(subject("late", Late)):
        code, printed = ended(script(found))
    assert code == WITH_DEFECT
    shown = without_numbers(README)
    assert without_numbers(printed) in shown
    assert without_numbers(seen) in shown
