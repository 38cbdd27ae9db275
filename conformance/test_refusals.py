"""Chapter J: what a call refuses."""

from conformance.harness.api import MODULES, assert_accepted, clause, probes


@clause("J2")
def test_cell_accepts_what_its_siblings_accept(cell):
    for siblings in probes(MODULES):
        assert_accepted(siblings[MODULES.index(cell)], siblings)
