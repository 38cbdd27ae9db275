"""Chapter A: shapes, names and types, before any value."""

from conformance.harness.api import (
    LSTM,
    MODULES,
    RNN_RELU,
    SINGLE_STEP,
    SINGLE_STEPS,
    UNREAL_ROUTES,
    assert_fact,
    assert_impossible,
    assert_nothing,
    cases,
    clause,
    construct,
    observe,
    observe_beyond,
)


@clause("A1", given=cases(unbatched=False, packed=None, projection=None))
def test_output_has_the_documented_shape(case, cell):
    for seen in observe(case.on(cell), values=False):
        n, t, width = case.batch_size, case.steps, seen.problem.architecture.directions * result_size(case, cell)
        documented = (n, t, width) if "bf" in case.layout else (t, n, width)
        assert_fact(seen, "output", "shape", seen.facts["output"].shape, documented)


@clause("A1", given=cases(unbatched=True, projection=None))
def test_unbatched_output_has_no_axis_of_the_batch_whatever_batch_first(case, cell):
    for seen in observe(case.on(cell), values=False):
        width = seen.problem.architecture.directions * result_size(case, cell)
        assert_fact(seen, "output", "shape", seen.facts["output"].shape, (case.steps, width))


@clause("A1", given=cases(packed=True, projection=None))
def test_packed_output_has_the_batch_sizes_and_indices_of_the_input(case, cell):
    for seen in observe(case.on(cell)):
        assert_nothing(seen, "output", "packed with another", seen.repacked)


@clause("A2", given=cases(unbatched=False, packed=None, projection=None))
def test_states_have_the_documented_shape_whatever_batch_first(case, cell):
    states_have_the_documented_shape(case, cell, (case.batch_size,))


@clause("A2", given=cases(unbatched=True, projection=None))
def test_unbatched_states_have_no_axis_of_the_batch(case, cell):
    states_have_the_documented_shape(case, cell, ())


def states_have_the_documented_shape(case, cell, batch):
    for seen in observe(case.on(cell), values=False):
        stacked = case.num_layers * seen.problem.architecture.directions
        assert_fact(seen, "h_n", "shape", seen.facts["h_n"].shape, (stacked, *batch, result_size(case, cell)))
        if cell == LSTM:
            assert_fact(seen, "c_n", "shape", seen.facts["c_n"].shape, (stacked, *batch, case.hidden_size))


@clause("A2", on=SINGLE_STEPS, given=SINGLE_STEP)
def test_single_step_returns_states_of_the_documented_shape(case, cell):
    for seen in observe(case.on(cell), values=False):
        for name, fact in seen.facts.items():
            batch = () if "unb" in case.layout else (case.batch_size,)
            assert_fact(seen, name, "shape", fact.shape, (*batch, case.hidden_size))


def result_size(case, cell):
    """Features of one direction's output."""
    return case.proj_size if cell == LSTM and case.projection else case.hidden_size


@clause("A3", given=cases(projection=None), single_step=SINGLE_STEP)
def test_parameters_have_the_documented_names_and_shapes(case, cell):
    documented = sorted(case.architecture(cell).parameter_shapes().items())
    for seen in construct(case.on(cell)):
        found = sorted((name, fact.shape) for name, fact in seen.facts.items())
        assert_fact(seen, "parameters", "names and shapes", found, documented)


@clause("A3-order", given=cases(projection=None), single_step=SINGLE_STEP)
def test_parameters_come_in_the_documented_order(case, cell):
    documented = list(case.architecture(cell).parameter_shapes())
    for seen in construct(case.on(cell)):
        found = [name for name in seen.facts if name in documented]
        assert_fact(seen, "parameters", "order", found, [name for name in documented if name in found])


@clause("A4", given=cases(packed=None, projection=None), single_step=SINGLE_STEP)
def test_results_and_parameters_carry_the_dtype_and_device_asked_for(case, cell):
    problem = case.on(cell)
    for module in construct(problem):
        facts_are_as_asked_for(case, module, "Parameter")
    for seen in observe(problem, values=False):
        facts_are_as_asked_for(case, seen, "Tensor")


def facts_are_as_asked_for(case, seen, type):
    for name, fact in seen.facts.items():
        assert_fact(seen, name, "type", fact.type, type)
        assert_fact(seen, name, "dtype", fact.dtype, case.dtype)
        assert_fact(seen, name, "device", fact.device.partition(":")[0], case.device.partition(":")[0])


@clause("A4-fake", given=cases(projection=None, steps=range(1, 6), share=2), single_step=SINGLE_STEP)
def test_meta_and_fake_tensors_have_the_facts_of_a_real_call(case, cell):
    problem = case.on(cell)
    for real in observe(problem, ("grad",), values=False):
        for unreal in observe(problem, UNREAL_ROUTES, values=False):
            for name, fact in unreal.facts.items():
                assert_fact(unreal, name, "shape", fact.shape, real.facts[name].shape)
                assert_fact(unreal, name, "dtype", fact.dtype, real.facts[name].dtype)
                assert_fact(unreal, name, "strides", fact.significant_strides, real.facts[name].significant_strides)
                assert_fact(
                    unreal, name, "device", fact.device, "meta" if unreal.route == "meta" else real.facts[name].device
                )


@clause("A4-repr", given=cases(projection=None), single_step=SINGLE_STEP)
def test_repr_shows_every_argument_that_is_not_its_default(case, cell):
    shown = {"input_size": f"({case.input_size}, ", "hidden_size": f", {case.hidden_size}"}
    shown["bias"] = "bias=False" if "nobias" in case.layout else ""
    if cell in SINGLE_STEPS:
        shown["nonlinearity"] = "nonlinearity=relu" if cell.startswith(RNN_RELU) else ""
    else:
        shown |= {
            "num_layers": "" if case.num_layers == 1 else f"num_layers={case.num_layers}",
            "batch_first": "batch_first=True" if "bf" in case.layout else "",
            "dropout": "dropout=0.5" if "drop" in case.layout else "",
            "bidirectional": "bidirectional=True" if case.bidirectional else "",
            "proj_size": f"proj_size={case.proj_size}" if cell == LSTM and case.projection else "",
            "nonlinearity": "nonlinearity" if cell == RNN_RELU else "",
        }
    for seen in construct(case.on(cell)):
        assert_nothing(seen, "repr", "leaves out", [name for name, text in shown.items() if text not in seen.text])


@clause("A5", given=cases(packed=None, projection=None), single_step=SINGLE_STEP)
def test_valid_call_warns_of_nothing(case, cell):
    for seen in observe(case.on(cell)):
        assert_nothing(seen, "warnings", "warns", seen.warnings)


@clause("A7", on=(*MODULES, *SINGLE_STEPS))
def test_what_is_stated_as_impossible_is(cell):
    for seen, stated in observe_beyond(cell):
        assert_impossible(seen, stated)
