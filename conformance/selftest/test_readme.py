"""What the README shows is what a run prints."""

import re
from pathlib import Path

from conformance.harness import session
from conformance.harness.findings.rendering import case_of, finding_text
from conformance.harness.property import properties
from conformance.harness.session import Session
from conformance.selftest.faults.catalogue import faults
from conformance.selftest.trial import findings
from strategies.axes import LAYOUT_WORDS

README = (Path(__file__).parent.parent.parent / "README.md").read_text(encoding="utf-8")


def test_failure_in_the_readme_is_what_a_run_prints():
    fault = next(fault for fault in faults() if fault.name == "step-9-sees-the-input-of-step-8")
    finding = next(findings(fault.subject, ("B2",), ("lstm",), seed=0))
    tested = next(one for one in properties() if one.name == finding.test)
    with session.nested(Session(fault.subject)) as here:
        shown = tested.explained(here, finding, case_of(finding))
    assert f"```\n{finding_text(shown, width=80)}\n```" in README


def test_number_of_seeded_faults_in_the_readme_is_right():
    (said,) = re.findall(r"more than (\d+) seeded faults", README)
    assert int(said) < len(faults()) <= int(said) + 100


def test_every_layout_word_is_explained_in_the_readme():
    assert all(f"`{word}`" in README for word in LAYOUT_WORDS)
