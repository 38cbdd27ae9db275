"""Helpers for the tests of this floor: drawing and shrinking with a fixed seed."""

from random import Random

from hypothesis import Phase, find, given, seed, settings


def draws(strategy, count=500, with_seed=0):
    """`count` examples that `strategy` draws with a fixed seed, or all of its examples if they are fewer."""
    seen = []

    @seed(with_seed)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate])
    @given(strategy)
    def collect(value):
        seen.append(value)

    collect()
    return seen


def smallest(strategy, condition=lambda value: True):
    """The example that `strategy` shrinks to while `condition` holds.

    Raises NoSuchExample if none of 2,000 draws meets it.
    """
    phases = [Phase.generate, Phase.shrink]
    many = settings(max_examples=2000, database=None, deadline=None, phases=phases)
    return find(strategy, condition, settings=many, random=Random(0))


def order(lengths):
    """Whether lengths are equal, sorted (longest first) or unsorted; "padded" if there are none."""
    if not lengths:
        return "padded"
    if len(set(lengths)) == 1:
        return "equal"
    return "sorted" if list(lengths) == sorted(lengths, reverse=True) else "unsorted"
