"""Chapter E: what one call has to do with another that says the same."""

from conformance.harness.vocabulary import assert_same, cases, clause, observe


@clause("E1", given=cases(num_layers=range(2, 4)))
def test_stack_is_the_composition_of_its_layers(case, cell):
    for seen in observe(case.on(cell), layers=True):
        assert_same(seen, seen.output, seen.layers[-1].output)
        for layer, alone in enumerate(seen.layers):
            assert_same(seen, seen.h_n[layer], alone.h_n[0])
            if cell == "lstm":
                assert_same(seen, seen.c_n[layer], alone.c_n[0])
