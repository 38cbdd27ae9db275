"""What lies beside tensors is chosen by the test, and nothing else about them changes."""

import ctypes

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from conformance.harness.execution.adjacent_memory import FILLINGS, MARGIN, beside, filled

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)


def element_behind(tensor):
    """The element that lies behind the last of a tensor, as the bytes there say."""
    size = tensor.element_size()
    data = bytearray(ctypes.string_at(tensor.data_ptr() + tensor.numel() * size, size))
    return torch.frombuffer(data, dtype=tensor.dtype)[0]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_copy_is_equal_and_contiguous_and_its_neighbours_differ(dtype):
    values = torch.arange(6).reshape(2, 3).to(dtype)
    one, other = (beside(values, filling) for filling in FILLINGS)
    assert torch.equal(one, values)
    assert torch.equal(other, values)
    assert one.is_contiguous()
    assert one.dtype is dtype
    assert one.storage_offset() == MARGIN
    assert element_behind(one) != element_behind(other)


def test_packed_sequences_and_tuples_keep_their_types_and_what_is_no_tensor():
    packed = pack_sequence([torch.ones(2, 1), torch.ones(1, 1)])
    made, (state, text) = beside((packed, [torch.zeros(1), "a text"]), FILLINGS[0])
    assert type(made) is type(packed)
    assert torch.equal(made.batch_sizes, packed.batch_sizes)
    assert torch.equal(made.data, packed.data)
    assert torch.equal(state, torch.zeros(1))
    assert text == "a text"


def test_meta_tensor_stays_what_it_is():
    tensor = torch.empty(2, device="meta")
    assert beside(tensor, FILLINGS[0]) is tensor


def test_parameters_lie_amid_the_filling_in_the_block_and_where_they_lay_after_it():
    module = torch.nn.LSTM(2, 3)
    places = {name: one.data_ptr() for name, one in module.named_parameters()}
    values = {name: one.detach().clone() for name, one in module.named_parameters()}
    with filled(module, FILLINGS[0]):
        assert all(torch.isnan(element_behind(one)) for one in module.parameters())
        assert all(torch.equal(one, values[name]) for name, one in module.named_parameters())
    assert {name: one.data_ptr() for name, one in module.named_parameters()} == places
