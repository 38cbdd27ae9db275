"""Scripts and facts are the texts that are kept; `python -m conformance.selftest.snapshots` writes them anew."""

import pytest

from conformance.harness.execution import machine
from conformance.selftest.snapshots import FOLDER, KINDS, texts


def test_no_snapshot_is_left_over():
    assert {path.name.partition(".")[0] for path in FOLDER.iterdir()} == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_script_and_facts_are_those_that_are_kept(kind):
    if machine.build().release != "2.13":
        pytest.skip("written with PyTorch 2.13, whose bounds and kernels others may not have")
    for name, text in texts(kind).items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text
