"""What the tests of this floor share: every dtype is present; drawing and shrinking with a fixed seed."""

from random import Random

import pytest
from hypothesis import Phase, find, given, seed, settings

from strategies import axes


@pytest.fixture(autouse=True, scope="module")
def every_dtype_is_present():
    """Whatever this run's device and release can do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(axes.present, "dtypes", axes.DTYPES)
        patch.setattr(axes.present, "devices", ("cpu",))
        yield


def drawn(strategy, count=500, with_seed=0):
    """What `strategy` draws with a fixed seed: `count` examples, or all it has if they are fewer."""
    seen = []

    @seed(with_seed)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate])
    @given(strategy)
    def collect(value):
        seen.append(value)

    collect()
    return seen


def smallest(strategy, condition=lambda value: True):
    """What `strategy` shrinks to while `condition` holds. Raises NoSuchExample where 2,000 draws never meet it."""
    phases = [Phase.generate, Phase.shrink]
    many = settings(max_examples=2000, database=None, deadline=None, phases=phases)
    return find(strategy, condition, settings=many, random=Random(0))


def order(lengths):
    """Whether lengths are equal, sorted (the longest first) or unsorted; padded where there are none."""
    if not lengths:
        return "padded"
    if len(set(lengths)) == 1:
        return "equal"
    return "sorted" if list(lengths) == sorted(lengths, reverse=True) else "unsorted"
