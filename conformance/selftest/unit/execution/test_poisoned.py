"""Before the second call these rows and steps of the input are NaN, the states of these rows, and nothing else."""

import numpy as np
import pytest
import torch

from conformance.harness.execution.requests.forward import ForwardPoisoned
from conformance.harness.execution.subject import Subject
from reference.problem import LSTM
from strategies import Case


@pytest.mark.parametrize("layout", [(), ("bf",)])
@pytest.mark.parametrize(
    ("rows", "steps", "states"),
    [(slice(1, None), slice(None), True), (slice(0, 1), slice(2, None), True), (slice(None), slice(1, 2), False)],
)
def test_rows_steps_and_states_that_are_meant_are_overwritten_and_no_others(rows, steps, states, layout):
    given = []

    class Telling(torch.nn.LSTM):
        def forward(self, input, hx=None):
            batch = input if self.batch_first else input.transpose(0, 1)
            given.append([batch.isnan().numpy().copy(), *(state.isnan().numpy().copy() for state in hx)])
            return super().forward(input, hx)

    case = Case(2, 2, 2, batch_size=3, steps=4, layout=layout)
    request = ForwardPoisoned(case.on(LSTM), ("grad",), rows=rows, steps=steps)
    (seen,) = request.execute(Subject("telling", {LSTM: Telling}))
    assert len(seen.poisoned) == 1
    before, after = given
    assert not any(values.any() for values in before)
    batch, state = np.zeros((3, 4, 2), bool), np.zeros((2, 3, 2), bool)
    batch[rows, steps], state[:, rows] = True, states
    for got, wanted in zip(after, (batch, state, state), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(("rows", "poisoned"), [(slice(0, 1), True), (slice(1, None), False)])
def test_only_row_of_an_unbatched_call_is_row_0(rows, poisoned):
    given = []

    class Telling(torch.nn.LSTM):
        def forward(self, input, hx=None):
            given.append([bool(values.isnan().all()) for values in (input, *hx)])
            return super().forward(input, hx)

    case = Case(2, 2, 2, steps=4, layout=("unb",))
    ForwardPoisoned(case.on(LSTM), ("grad",), rows=rows).execute(Subject("telling", {LSTM: Telling}))
    assert given == [[False] * 3, [poisoned] * 3]
