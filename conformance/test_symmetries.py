"""Chapter F: closed forms, and data that makes rounding vanish."""

from conformance.harness.api import GRU, RNN_TANH, assert_exact, cases, clause, from_inputs, observe


@clause("F5", on=(RNN_TANH, GRU), given=cases(fill="digital", bias=True, packed=None))
def test_gates_that_are_open_or_shut_give_exactly_what_the_equations_say(case, cell):
    for seen in observe(case.on(cell)):
        assert_exact(seen, from_inputs)
