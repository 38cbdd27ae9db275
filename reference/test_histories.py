"""The model of life cycles: what each operation does to plain weights."""

from itertools import combinations

import numpy as np
import pytest

from reference.histories import (
    BEFORE,
    MOST_OPERATIONS,
    OPERATIONS,
    beginning,
    blamed,
    covering,
    moved,
    of_pair,
    pairs,
    read,
)
from reference.life import Life, facts, wanted_gradients

WEIGHTS = {
    "weight_ih": np.array([[1.0, 3.0]]),
    "weight_hh": np.array([[2.0]]),
    "bias_ih": np.array([float(np.float32(0.1))]),
    "bias_hh": np.array([0.75]),
}


def lived(*names):
    life = Life.of(WEIGHTS, "float32", True)
    for name in names:
        after = OPERATIONS[name](life)
        assert after is not None, name
        life = after
    return life


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_applies_to_its_beginning(name):
    life = lived(*beginning(name))
    assert set(life.weights) == set(WEIGHTS)
    assert set(facts(life).wanting) <= {*life.names, *life.weights}


@pytest.mark.parametrize("name", [name for name in BEFORE if name.startswith("remove")])
def test_what_is_removed_leaves_a_plain_parameter_at_the_end(name):
    life = lived(*beginning(name))
    assert life.is_plain
    assert not life.further
    assert life.names == ("weight_hh", "bias_ih", "bias_hh", "weight_ih")


def test_tied_weights_are_one_tensor_with_one_value_and_the_sum_of_gradients():
    life = lived("tie")
    assert life.weights["bias_hh"] == life.weights["bias_ih"]
    assert facts(life).together == (("bias_hh", "bias_ih"),)
    ones = {name: np.ones(values.shape) for name, values in WEIGHTS.items()}
    assert wanted_gradients(life, ones)["bias_ih"] == 2
    assert "bias_hh" not in wanted_gradients(life, ones)


def test_untied_weights_differ():
    life = lived("tie", "untie")
    assert life.weights["bias_hh"] == 2 * life.weights["bias_ih"]
    assert life.is_plain


def test_conversion_rounds_to_the_dtype_and_back():
    life = lived("half", "double")
    assert life.dtype == "float64"
    assert life.weights["bias_ih"] == np.float64(np.float16(np.float32(0.1)))


def test_gradients_go_through_what_a_weight_is_made_by():
    ones = {name: np.ones(values.shape) for name, values in WEIGHTS.items()}
    assert (wanted_gradients(lived("parametrize"), ones)["parametrizations.weight_ih.original"] == 2).all()
    assert wanted_gradients(lived("prune"), ones)["weight_ih_orig"].tolist() == [[1, 0]]
    assert "weight_ih" not in wanted_gradients(lived("freeze_first"), ones)


def test_what_goes_wrong_after_a_failed_conversion_is_told_of_it():
    assert blamed(("forward", "failed_to", "step")) == "failed_to"
    assert blamed(("forward", "step")) == "step"
    assert blamed(("weight_norm", "failed_to", "deepcopy"), fails=True) == "deepcopy"
    assert blamed(("weight_norm", "failed_to", "deepcopy")) == "failed_to"


@pytest.mark.parametrize("text", ["", "half,", "walk", ",".join(["half"] * 21)])
def test_word_that_is_no_history_is_refused(text):
    with pytest.raises(ValueError, match=r"no such operation|at most 20"):
        read(text)


def test_pairs_are_those_that_one_history_can_have():
    assert {("half", "step"), ("step", "half"), ("export", "step"), ("tie", "untie"), ("half", "untie")} <= pairs()
    assert not {("step", "export"), ("spectral_norm", "prune"), ("orthogonal", "half")} & pairs()


def test_weight_of_which_a_law_is_known_is_only_kept():
    life = lived("spectral_norm", "remove_parametrization")
    assert life.is_known_by_law
    assert moved(life, "step") is None
    assert moved(life, "eval") is not None


def test_step_of_rprop_moves_every_number_towards_0():
    assert lived("rprop_step").weights["weight_ih"].tolist() == [[0.875, 2.875]]


@pytest.mark.parametrize("name", ["tie", "rprop_step", "half"])
def test_weight_that_an_operation_rounds_in_its_own_way_is_copied_to_no_other(name):
    assert moved(lived("weight_norm", "remove_parametrization"), name) is None


def test_sixteen_bits_are_made_of_float64_by_way_of_float32():
    above = 0.906494140625 + 2.0**-40  # the middle between two numbers of float16, and a little more
    life = Life.of({"weight": np.array([above])}, "float64", True)
    after = moved(life, "half")
    assert after is not None
    assert after.weights["weight"] == 0.90625


@pytest.mark.parametrize("pair", [("freeze_first", "stack_module_state"), ("remove_pruning", "half"), ("tie", "untie")])
def test_history_of_a_pair_ends_with_the_second_and_each_of_it_is_done(pair):
    history = of_pair(*pair)
    lived(*history)
    assert history[-1] == pair[1]
    assert pair in set(combinations(history, 2))


@pytest.mark.parametrize(("names", "in_part"), [(("freeze",), False), (("freeze_first",), True), ((), False)])
def test_module_is_frozen_in_part_where_some_weights_want_gradients(names, in_part):
    assert lived(*names).is_frozen_in_part is in_part


def test_covering_histories_have_every_pair():
    found = covering()
    assert pairs() <= {pair for history in found for pair in combinations(history, 2)}
    assert all(len(history) <= MOST_OPERATIONS for history in found)
    life = lived(*found[0])
    assert set(life.weights) == set(WEIGHTS)


@pytest.mark.parametrize("name", ["double", "float"])
def test_conversion_to_float64_or_float32_rounds_no_more_than_that(name):
    life = Life.of({"weight": np.array([1 + 2.0**-40, 0.1])}, "float64", True)
    after = moved(life, name)
    assert after is not None
    wanted = [1 + 2.0**-40, 0.1] if name == "double" else [1.0, float(np.float32(0.1))]
    assert after.weights["weight"].tolist() == wanted
