"""A PyTorch whose version is none, and what a machine says of itself."""

from dataclasses import replace

import pytest

from conformance.harness.execution import machine
from conformance.harness.findings.known import SHIPPED, load


@pytest.mark.parametrize(
    ("version", "release", "is_new"),
    [
        ("2.13.0+cpu", "2.13", True),
        ("2.4.1", "2.4", False),
        ("custom-build", "custom-build", True),
        ("None", "None", True),
        ("", "", True),
        ("2.14.0.dev20261129", "2.14", True),
    ],
)
def test_version_that_is_none_is_newer_than_every_release(version, release, is_new):
    build = machine.Build(version, "DEFAULT", ("cpu",), True)
    assert (build.release, build.at_least(2, 9)) == (release, is_new)
    assert build.has_version is ("." in version)
    entry = load(SHIPPED)[0]
    assert replace(entry, torch=">=2.9", with_cpu_flag="", without_cpu_flag="").concerns(version, ()) is is_new
    assert not replace(entry, torch="<2.4", with_cpu_flag="", without_cpu_flag="").concerns(version, ())
