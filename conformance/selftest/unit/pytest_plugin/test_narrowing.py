"""A run names each option that left out tests once, wherever it was given, and nothing else."""

import pytest

from conformance.harness.pytest_plugin.narrowing import narrowed_by

pytest_plugins = ["pytester"]

OWN = '[pytest]\naddopts = -rfE -m "not thorough"\n'


@pytest.fixture
def narrowed(pytester):
    """What pytest narrows by in a project like this one, where there is a folder `conformance`."""
    pytester.makeini(OWN)
    pytester.mkdir("conformance")
    return lambda *arguments: narrowed_by(pytester.parseconfigure(*arguments))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), ()),
        (("-k", "test_numbers.py"), ("-k test_numbers.py",)),
        (("-ktest_numbers.py",), ("-k test_numbers.py",)),
        (("-k", "gru\x1b[31m"), (r"-k 'gru\x1b[31m'",)),
        (("-m", "thorough"), ("-m thorough",)),
        (("-m", "not thorough"), ()),
        (("-m", ""), ()),
        (("--last-failed",), ("--lf",)),
        (("--deselect", "a.py::test_x", "--deselect=b.py"), ("--deselect a.py::test_x", "--deselect b.py")),
        (("--ignore", "conformance/test_numbers.py"), ("--ignore conformance/test_numbers.py",)),
        (("--ignore-glob", "*_sizes.py"), ("--ignore-glob '*_sizes.py'",)),
        (("-p", "no:cacheprovider"), ()),
        (("conformance",), ()),
        (("conformance/test_x.py::test_y", "-q"), ("conformance/test_x.py::test_y",)),
        (("--junitxml", "run.py.xml", "-c", "tox.ini"), ()),
    ],
)
def test_each_option_that_leaves_out_tests_is_named_once(arguments, said, narrowed):
    assert narrowed(*arguments) == said


def test_options_of_the_environment_narrow_too(narrowed, monkeypatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k lstm")
    assert narrowed("test_x.py") == ("-k lstm", "test_x.py")
