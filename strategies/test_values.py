"""Every fill gives the documented numbers: equal on every release, exact, distinct, croppable along each axis."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.formats import FORMATS
from strategies.axes import FAR
from strategies.values import FILLS, HIDDEN_BIAS, INPUT, INPUT_BIAS, LARGEST_KEPT, STATE, WEIGHT, digit, fill

ROLES = (WEIGHT, INPUT_BIAS, HIDDEN_BIAS, INPUT, STATE)
TELLING = tuple(kind for kind in FILLS if kind != "zeros")
MANY = (50, 40)

SHAPES = {WEIGHT: (4, 3, 4), INPUT_BIAS: (4, 8), HIDDEN_BIAS: (4, 8), INPUT: (3, 4, 9), STATE: (3, 2, 4, 9)}
"""The axes in a problem: gate, unit, feature; gate, unit; row, step, feature; layer, direction, row, unit."""

GOLDEN_IN_EVERY_DTYPE = {
    "dyadic": [[-1.0, -0.875, -0.125], [0.375, -0.625, -0.25]],
    "integers": [[2.0, 2.0, -1.0], [-2.0, -1.0, -2.0]],
    "onehot": [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]],
    "zeros": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
}
DIGITAL = [[-256.0, 0.0, 0.0], [256.0, -256.0, 256.0]]
"""In every dtype except float64, whose digit is larger."""

GOLDEN_FLOAT64 = {
    "digital": [[8 * value for value in row] for row in DIGITAL],
    "ramp": [
        [-0.3831811547279358, 0.053818845272064264, 0.4908188452720643],
        [-0.09018115472793586, 0.3468188452720642, 0.7838188452720642],
    ],
    "normal": [
        [-0.10102838277816772, -0.14742088317871094, 0.8613806366920471],
        [-0.611925482749939, 0.895073652267456, -0.020141541957855225],
    ],
    "subnormal": [
        [-1.065757963072166e-309, 6.769675189045366e-309, -2.5632937278891526e-308],
        [1.1035240173809496e-308, -1.7927184097206596e-308, -1.9275985960885e-310],
    ],
}
GOLDEN_FLOAT32 = {
    "digital": DIGITAL,
    "ramp": [
        [-0.3831811547279358, 0.05381884425878525, 0.4908188581466675],
        [-0.09018115699291229, 0.34681883454322815, 0.7838188409805298],
    ],
    "uniform": [
        [-0.1915905773639679, 0.3042449653148651, -0.2880009710788727],
        [0.1239873468875885, -0.40284469723701477, -0.06930461525917053],
    ],
    "normal": [
        [-0.10102838277816772, -0.14742088317871094, 0.8613806366920471],
        [-0.611925482749939, 0.895073652267456, -0.020141541957855225],
    ],
    "large": [
        [-0.3831811547279358, 2.433959722518921, -9.216031074523926],
        [3.967595100402832, -6.445515155792236, -0.06930461525917053],
    ],
    "subnormal": [
        [-5.630347164733899e-40, 3.5763827302620835e-39, -1.3541740581381914e-38],
        [5.8298570335921446e-39, -9.47083261656728e-39, -1.0183376070094878e-40],
    ],
}
GOLDEN_FLOAT16 = {
    "digital": DIGITAL,
    "ramp": [[-0.38330078125, 0.0538330078125, 0.49072265625], [-0.0902099609375, 0.346923828125, 0.78369140625]],
    "subnormal": [
        [-2.9206275939941406e-06, 1.8596649169921875e-05, -7.033348083496094e-05],
        [3.0279159545898438e-05, -4.9173831939697266e-05, -5.364418029785156e-07],
    ],
}
GOLDEN_BFLOAT16 = {
    "digital": DIGITAL,
    "ramp": [[-0.3828125, 0.0537109375, 0.490234375], [-0.09033203125, 0.34765625, 0.78515625]],
    "uniform": [[-0.19140625, 0.3046875, -0.287109375], [0.1240234375, -0.40234375, -0.0693359375]],
    "normal": [[-0.10107421875, -0.1474609375, 0.86328125], [-0.61328125, 0.89453125, -0.0201416015625]],
    "large": [[-0.3828125, 2.4375, -9.1875], [3.96875, -6.4375, -0.0693359375]],
    "subnormal": [
        [-5.510129769479473e-40, 3.581584350161657e-39, -1.3499817935224708e-38],
        [5.7856362579534463e-39, -9.459056104273095e-39, -9.183549615799121e-41],
    ],
}
GOLDEN = {
    "float64": GOLDEN_IN_EVERY_DTYPE | GOLDEN_FLOAT64,
    "float32": GOLDEN_IN_EVERY_DTYPE | GOLDEN_FLOAT32,
    "float16": GOLDEN_IN_EVERY_DTYPE | GOLDEN_FLOAT16,
    "bfloat16": GOLDEN_IN_EVERY_DTYPE | GOLDEN_BFLOAT16,
}
"""The numbers of tensor weight_ih_l0 with seed 7; onehot and subnormal as an input, since they leave weights alone."""


def many(kind, role, dtype="float32", seed=3):
    return fill(kind, role, "name", seed, MANY, dtype)


def all_different(blocks):
    """Whether no two of `blocks` contain the same numbers."""
    return len({block.tobytes() for block in blocks}) == len(blocks)


@pytest.mark.parametrize(("dtype", "kind"), [(dtype, kind) for dtype, fills in GOLDEN.items() for kind in fills])
def test_golden_values_hold_on_every_release_of_numpy(dtype, kind):
    role = INPUT if kind in ("onehot", "subnormal") else WEIGHT
    assert fill(kind, role, "weight_ih_l0", 7, (2, 3), dtype).tolist() == GOLDEN[dtype][kind]


def test_every_fill_has_golden_values_in_float32_and_bfloat16():
    assert set(GOLDEN["float32"]) == set(GOLDEN["bfloat16"]) == set(FILLS)


@pytest.mark.parametrize(("kind", "role", "dtype"), list(product(FILLS, ROLES, FORMATS)))
def test_values_are_finite_and_exact_in_the_dtype(kind, role, dtype):
    values = many(kind, role, dtype)
    assert values.dtype == np.float64
    assert values.shape == MANY
    assert np.isfinite(values).all()
    assert FORMATS[dtype].holds(values)


@pytest.mark.parametrize("kind", TELLING)
def test_bfloat16_values_leave_the_lower_half_of_a_float32_empty(kind):
    assert not (many(kind, INPUT, "bfloat16").astype(np.float32).view(np.uint32) & 0xFFFF).any()


@pytest.mark.parametrize(("kind", "dtype"), list(product([k for k in TELLING if k != "subnormal"], FORMATS)))
def test_dtypes_differ_in_their_rounding_alone(kind, dtype):
    assert np.array_equal(many(kind, INPUT, dtype), FORMATS[dtype].round(many(kind, INPUT, "float64")))


@pytest.mark.parametrize(("kind", "dtype"), [("cauchy", "float32"), ("dyadic", "float8"), ("Dyadic", "float32")])
def test_unknown_fill_or_dtype_raises_key_error(kind, dtype):
    with pytest.raises(KeyError):
        fill(kind, WEIGHT, "name", 0, (2,), dtype)


@pytest.mark.parametrize("kind", FILLS)
def test_writing_to_a_result_leaves_the_next_one_alone(kind):
    first = fill(kind, INPUT, "name", 3, (4, 8), "float64")
    kept = first.copy()
    first += 1
    assert np.array_equal(fill(kind, INPUT, "name", 3, (4, 8), "float64"), kept)


# The numbers of each fill


@pytest.mark.parametrize("role", ROLES)
def test_zeros_are_zero(role):
    assert not many("zeros", role).any()


@pytest.mark.parametrize("role", ROLES)
def test_dyadic_values_are_all_the_nonzero_eighths_up_to_one(role):
    assert set(many("dyadic", role, "bfloat16").flat) == {sign * n / 8 for sign in (-1, 1) for n in range(1, 9)}


@pytest.mark.parametrize("role", ROLES)
def test_integers_are_those_from_minus_two_to_two(role):
    assert set(many("integers", role, "bfloat16").flat) == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize(("role", "largest"), [(WEIGHT, 0.5), (INPUT_BIAS, 1), (INPUT, 1), (STATE, 1)])
def test_uniform_values_fill_their_range_and_are_never_zero(role, largest):
    values = many("uniform", role, "float32")
    assert abs(values).max() < largest
    assert abs(values).min() > 0
    assert np.histogram(values, 10, (-largest, largest))[0].min() > 2000 / 10 * 0.7


@pytest.mark.parametrize("role", ROLES)
def test_uniform_values_are_the_same_in_float32_and_float64(role):
    assert np.array_equal(many("uniform", role, "float32"), many("uniform", role, "float64"))


@pytest.mark.parametrize(("role", "scale"), [(WEIGHT, 0.5), (INPUT_BIAS, 0.9), (INPUT, 0.9), (STATE, 0.9)])
def test_normal_values_spread_as_a_sum_of_four_uniforms_does(role, scale):
    values = many("normal", role) / scale
    assert abs(values).max() < 4
    assert values.std() == pytest.approx((4 / 3) ** 0.5, rel=0.05)
    assert values.mean() == pytest.approx(0, abs=0.1)
    assert np.mean(abs(values) < values.std()) == pytest.approx(0.67, abs=0.04)


@pytest.mark.parametrize("role", ROLES)
def test_large_values_reach_from_fractions_to_thirty_two(role):
    sizes = abs(many("large", role))
    assert 16 < sizes.max() < 32
    assert np.mean(sizes > 4) > 0.2
    assert np.mean(sizes < 0.5) > 0.2


@pytest.mark.parametrize(("role", "dtype"), list(product((INPUT_BIAS, INPUT, STATE), FORMATS)))
def test_subnormal_values_lie_on_both_sides_of_the_smallest_normal_number(role, dtype):
    sizes = abs(many("subnormal", role, dtype)) / FORMATS[dtype].smallest_normal
    assert 1 < sizes.max() <= 4
    assert np.mean(sizes < 1) > 0.5
    assert np.mean(sizes > 1) > 0.1


def test_subnormal_weights_are_the_uniform_ones():
    assert np.array_equal(many("subnormal", WEIGHT), many("uniform", WEIGHT))


@pytest.mark.parametrize("role", [INPUT, STATE])
def test_onehot_inputs_and_states_have_a_single_one_along_their_features(role):
    values = many("onehot", role)
    assert set(values.flat) == {0, 1}
    assert (values.sum(-1) == 1).all()
    assert len(set(values.argmax(-1))) > 10


@pytest.mark.parametrize("role", [WEIGHT, INPUT_BIAS])
def test_onehot_weights_and_biases_are_the_dyadic_ones(role):
    assert np.array_equal(many("onehot", role), many("dyadic", role))


@pytest.mark.parametrize("role", ROLES)
def test_ramp_grows_along_every_axis_at_a_rate_of_its_own(role):
    values = fill("ramp", role, "name", 3, (5, 6, 7, 8), "float64")
    steps = [np.diff(values, axis=axis) % 2 for axis in range(4)]
    assert abs(values).max() <= 1
    assert [step.max() for step in steps] == pytest.approx([step.min() for step in steps], abs=1e-12)
    assert len({round(step.max(), 6) for step in steps}) == 4


# Tensors and blocks differ


@pytest.mark.parametrize(("kind", "role", "dtype"), list(product(TELLING, ROLES, FORMATS)))
def test_no_two_gates_or_rows_or_layers_hold_the_same_numbers(kind, role, dtype):
    values = fill(kind, role, "name", 3, SHAPES[role], dtype)
    for axis in range(values.ndim - 1):
        assert all_different(np.moveaxis(values, axis, 0)), f"along axis {axis}"


@pytest.mark.parametrize(("kind", "role"), list(product(TELLING, ROLES)))
def test_no_symmetry_hides_a_transposed_or_reversed_tensor(kind, role):
    square = fill(kind, role, "name", 3, (7, 7), "bfloat16")
    assert all_different([square, square.T, square[::-1], square[:, ::-1], square[::-1, ::-1]])


@pytest.mark.parametrize(("kind", "role"), list(product(TELLING, ROLES)))
def test_tensors_of_different_names_and_seeds_differ(kind, role):
    names = ["weight_ih_l0", "weight_hh_l0", "weight_ih_l0_reverse", "weight_ih_l1", "bias_ih_l0", "h_0", "c_0", ""]
    seeds = [0, 1, 2, 2**16 - 1, 2**31, 2**32 - 1]
    assert all_different([fill(kind, role, name, seed, (4, 9), "bfloat16") for name in names for seed in seeds])


# Sizes


@st.composite
def shapes_and_crops(draw):
    shape = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    return tuple(shape), tuple(draw(st.integers(1, size)) for size in shape)


@settings(deadline=None, max_examples=200)
@given(
    kind=st.sampled_from(FILLS),
    role=st.sampled_from(ROLES),
    dtype=st.sampled_from(list(FORMATS)),
    seed=st.integers(0, 2**32 - 1),
    shape_and_crop=shapes_and_crops(),
)
def test_smaller_shape_crops_the_larger_one(kind, role, dtype, seed, shape_and_crop):
    shape, crop = shape_and_crop
    if kind == "onehot" and role in (INPUT, STATE):
        crop = (*crop[:-1], shape[-1])  # the test below says what holds along the features
    large, small = (fill(kind, role, "name", seed, size, dtype) for size in (shape, crop))
    assert np.array_equal(small, large[tuple(map(slice, crop))])


@pytest.mark.parametrize("role", [INPUT, STATE])
def test_onehot_row_keeps_its_one_if_the_crop_along_the_features_does(role):
    large = many("onehot", role)
    small = fill("onehot", role, "name", 3, (MANY[0], MANY[1] // 2), "float32")
    kept = large.argmax(-1) < MANY[1] // 2
    assert 10 < kept.sum() < 40
    assert np.array_equal(small[kept], large[kept, : MANY[1] // 2])
    assert (small.sum(-1) == 1).all()


@pytest.mark.parametrize(("kind", "axis"), list(product(TELLING, range(3))))
def test_shape_beyond_the_kept_tables_agrees_with_one_within(kind, axis):
    within = tuple(LARGEST_KEPT if at == axis else 3 for at in range(3))
    beyond = tuple(LARGEST_KEPT + 1 if at == axis else 3 for at in range(3))
    large, small = (fill(kind, WEIGHT, "name", 3, shape, "float32") for shape in (beyond, within))
    assert np.array_equal(large[tuple(map(slice, within))], small)


@pytest.mark.parametrize("kind", TELLING)
def test_no_two_rows_of_a_long_tensor_are_the_same(kind):
    assert all_different(fill(kind, WEIGHT, "name", 3, (300, 33), "float32"))


MOST_PRODUCTS = dict.fromkeys(("float32", "float64"), FAR["hidden_size"][1])
"""How many products may be summed in a dtype; 120 in the others."""


@pytest.mark.parametrize("dtype", FORMATS)
def test_digital_data_opens_or_shuts_every_gate_and_its_sums_are_exact_in_the_dtype(dtype):
    one = digit(FORMATS[dtype])
    with np.errstate(over="ignore"):
        computed = np.float64 if dtype == "float64" else np.float32
        assert 1 / (1 + np.exp(computed(one))) == 0
        assert np.tanh(computed(one)) == 1
    assert set(np.unique(many("digital", WEIGHT, dtype))) == {-2 * one, 0, 2 * one}
    assert set(np.unique(many("digital", HIDDEN_BIAS, dtype))) == {-2 * one, 0, 2 * one}
    assert set(np.unique(many("digital", INPUT_BIAS, dtype)) / one % 2) == {1}
    assert set(np.unique(many("digital", STATE, dtype))) == {-1, 0, 1}
    products = MOST_PRODUCTS.get(dtype, 120)
    assert 2 * products * one + 5 * one <= FORMATS[dtype].largest
    assert 1 / FORMATS[dtype].unit_roundoff >= 2 * products + 5
