"""Chapter I: what the documentation says in code, and files of older releases."""

from conformance.harness.api import (
    BUT_FOR_DEVICE,
    BY_NAME,
    BY_POSITION,
    EXAMPLES,
    MODULES,
    ONE_STEP,
    SINGLE_STEPS,
    assert_nothing,
    assert_within,
    cases,
    clause,
    from_inputs,
    observe_documented_code,
    observe_older_files,
    observe_spelled,
    run_examples,
)
from reference.problem import RNN_TANH

EQUIVALENT = cases(
    bidirectional=False, dropout=False, unbatched=False, bias=True, dtype="float32", memory="contiguous", share=10
)
"""What the documented function can do."""


@clause(
    "I",
    given=cases(dropout=False, projection=None, share=10),
    single_step=cases(**ONE_STEP, share=10),
    each={"by_position": BY_POSITION, "by_position_but_for_device": BUT_FOR_DEVICE, "by_name": BY_NAME},
)
def test_arguments_mean_the_same(case, cell, spelled):
    for seen in observe_spelled(case.on(cell), spelled):
        assert_within(seen, from_inputs)


@clause("I", on=(RNN_TANH,), given=EQUIVALENT)
def test_code_in_the_documentation_gives_what_the_module_gives(case, cell):
    for seen in observe_documented_code(case.on(cell)):
        assert_within(seen, from_inputs)


@clause("I", on=(RNN_TANH,), each={of: of for of in EXAMPLES})
def test_examples_in_the_documentation_give_what_they_say(cell, of):
    for seen in run_examples(of):
        assert_nothing(seen, of, "examples", seen.unlike)


@clause("I", on=(*MODULES, *SINGLE_STEPS))
def test_state_dict_of_an_older_release_gives_its_results(cell):
    for seen in observe_older_files(cell):
        assert_within(seen, from_inputs)
