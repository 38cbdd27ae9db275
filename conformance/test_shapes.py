"""Chapter A: shapes, names and types, before any value."""

from conformance.harness.vocabulary import (
    CONSTRUCTOR,
    EAGER,
    GRU,
    LSTM,
    RNN_RELU,
    RNN_TANH,
    UNREAL,
    assert_fact,
    assert_nothing,
    cases,
    clause,
    observe,
)


@clause("A1", given=cases())
def test_output_has_the_documented_shape(case, cell):
    problem = case.on(cell)
    n, t, width = problem.batch_size, problem.steps, problem.architecture.directions * case.hidden_size
    for seen in observe(problem, values=False):
        assert_fact(
            seen, "output", "shape", seen.facts["output"].shape, (n, t, width) if "bf" in case.layout else (t, n, width)
        )


@clause("A2", given=cases())
def test_states_have_the_documented_shape_whatever_batch_first(case, cell):
    problem = case.on(cell)
    shape = (case.num_layers * problem.architecture.directions, problem.batch_size, case.hidden_size)
    for seen in observe(problem, values=False):
        for name in ("h_n", "c_n") if cell == LSTM else ("h_n",):
            assert_fact(seen, name, "shape", seen.facts[name].shape, shape)


@clause("A3", given=cases())
def test_parameters_have_the_documented_names_order_and_shapes(case, cell):
    for seen in observe(case.on(cell), (CONSTRUCTOR,)):
        found = [(name, fact.shape) for name, fact in seen.facts.items()]
        assert_fact(
            seen,
            "parameters",
            "names, order and shapes",
            found,
            list(case.architecture(cell).parameter_shapes().items()),
        )


@clause("A4", given=cases())
def test_results_and_parameters_carry_the_dtype_and_device_asked_for(case, cell):
    for seen in observe(case.on(cell), (CONSTRUCTOR, *EAGER), values=False):
        for name, fact in seen.facts.items():
            assert_fact(seen, name, "type", fact.type, "Parameter" if seen.route == CONSTRUCTOR else "Tensor")
            assert_fact(seen, name, "dtype", fact.dtype, case.dtype)
            assert_fact(seen, name, "device", fact.device.partition(":")[0], case.device.partition(":")[0])


@clause("A4-fake", given=cases())
def test_meta_and_fake_tensors_have_the_facts_of_a_real_call(case, cell):
    problem = case.on(cell)
    for real in observe(problem, ("grad",), values=False):
        for unreal in observe(problem, UNREAL, values=False):
            for name, fact in unreal.facts.items():
                assert_fact(unreal, name, "shape", fact.shape, real.facts[name].shape)
                assert_fact(unreal, name, "dtype", fact.dtype, real.facts[name].dtype)
                assert_fact(unreal, name, "strides", fact.strides, real.facts[name].strides)
                assert_fact(
                    unreal, name, "device", fact.device, "meta" if unreal.route == "meta" else real.facts[name].device
                )


@clause("A4-repr", given=cases())
def test_repr_shows_every_argument_that_is_not_its_default(case, cell):
    shown = {
        "input_size": f"({case.input_size}, ",
        "hidden_size": f", {case.hidden_size}",
        "num_layers": "" if case.num_layers == 1 else f"num_layers={case.num_layers}",
        "bias": "bias=False" if "nobias" in case.layout else "",
        "batch_first": "batch_first=True" if "bf" in case.layout else "",
        "bidirectional": "bidirectional=True" if case.bidirectional else "",
        "nonlinearity": "nonlinearity" if cell == RNN_RELU else "",
    }
    for seen in observe(case.on(cell), (CONSTRUCTOR,)):
        assert_nothing(seen, "repr", "leaves out", [name for name, text in shown.items() if text not in seen.text])


@clause("A5", on=(RNN_TANH, RNN_RELU, LSTM, GRU), given=cases())
def test_valid_call_warns_of_nothing(case, cell):
    for seen in observe(case.on(cell)):
        assert_nothing(seen, "warnings", "warns", seen.warnings)
