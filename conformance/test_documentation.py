"""Chapter I: what the documentation says in code, and files of older releases."""

from conformance.harness.api import (
    AMBER,
    BUT_FOR_DEVICE,
    BY_NAME,
    BY_POSITION,
    EXAMPLES,
    GRU,
    GRU_CELL,
    LEFT_OUT,
    LENGTHS,
    MODULES,
    ONE_STEP,
    RNN_CELL,
    RNN_TANH,
    SINGLE_STEPS,
    UTILITIES,
    assert_array,
    assert_fact,
    assert_gradients_within,
    assert_nothing,
    assert_within,
    batches,
    cases,
    clause,
    differentiate_documented_code,
    from_inputs,
    losses,
    observe_documented_code,
    observe_named_inputs,
    observe_older_files,
    observe_packing_spelled,
    observe_spelled,
    run_examples,
)

EQUIVALENT = {
    "bidirectional": False,
    "dropout": False,
    "unbatched": False,
    "bias": True,
    "dtype": "float32",
    "memory": "contiguous",
}
"""What the documented function can do."""

ROWS = cases(
    packed=True,
    unbatched=False,
    batch_size=range(2, 6),
    num_layers=1,
    hidden_size=1,
    bidirectional=False,
    dropout=False,
)
"""What is padded and packed."""

SPELLED = {"by_position": BY_POSITION, "by_name": BY_NAME, "left_out": LEFT_OUT}


@clause(
    "A6",
    given=cases(dropout=False, projection=None, share=10),
    single_step=cases(**ONE_STEP, share=10),
    each={"by_position": BY_POSITION, "by_position_but_for_device": BUT_FOR_DEVICE} | SPELLED,
)
def test_arguments_mean_the_same(case, cell, spelled):
    for seen in observe_spelled(case.on(cell), spelled):
        assert_within(seen, from_inputs)
        assert_nothing(seen, "attributes", "differ", seen.differing, severity=AMBER)


@clause("I", on=(RNN_TANH,), given=ROWS, each=SPELLED)
def test_arguments_by_position_and_by_keyword_pack_the_same(case, cell, spelled):
    batch, lengths = batches(case.on(cell))[1], LENGTHS[case.pick % len(LENGTHS)]
    for utility in UTILITIES:
        for seen, usual in observe_packing_spelled(batch, utility, lengths, spelled):
            for name, wanted in usual.raw.items():
                assert_array(seen, name, seen.raw.get(name), wanted, of="in the usual call")


@clause("I", on=(RNN_TANH,), given=cases(**EQUIVALENT))
def test_code_in_the_documentation_gives_what_the_module_gives(case, cell):
    for seen in observe_documented_code(case.on(cell)):
        assert_within(seen, from_inputs)


@clause("I", on=(RNN_TANH,), given=cases(**EQUIVALENT, share=2))
def test_code_in_the_documentation_has_the_gradients_of_the_module(case, cell):
    problem = case.on(cell)
    for seen in differentiate_documented_code(problem, losses.loss(case, problem)):
        assert_gradients_within(seen)


@clause("I", on=(RNN_TANH,), each={of: of for of in EXAMPLES})
def test_examples_in_the_documentation_give_what_they_say(cell, of):
    for seen in run_examples(of):
        assert_nothing(seen, of, "examples", seen.unlike)


@clause("I", on=(RNN_TANH, GRU, RNN_CELL, GRU_CELL))
def test_inputs_have_their_documented_names(cell):
    for seen in observe_named_inputs(cell):
        assert_within(seen, from_inputs)


@clause("I", on=(*MODULES, *SINGLE_STEPS))
def test_state_dict_of_an_older_release_gives_its_results(cell):
    for seen in observe_older_files(cell):
        for name, values in seen.problem.parameters.items():
            assert_fact(seen, name, "read from a file", seen.weights[name].tolist(), values.tolist())
        assert_within(seen, from_inputs)
