"""Chapter I: a module that was called before, and changed."""

from conformance.harness.api import CHANGES, SINGLE_STEP, assert_within, cases, clause, from_inputs, observe_change

WAYS = tuple(CHANGES)


@clause("I", given=cases(short=True, packed=None, projection=None), single_step=SINGLE_STEP)
def test_changed_weights_are_those_of_the_next_call(case, cell):
    for seen in observe_change(case.on(cell), WAYS[case.pick % len(WAYS)]):
        for after in seen.after:
            assert_within(after, from_inputs)
