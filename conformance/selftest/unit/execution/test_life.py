"""Life cycles: every operation of the model is done, and a linear layer is led along."""

import pytest
import torch

from conformance.harness.execution.requests.life.history import LiveThrough, _Companion
from conformance.harness.execution.requests.life.operations import OPERATIONS as DONE
from conformance.harness.execution.subject import torch_nn
from reference.histories import OPERATIONS, beginning
from strategies import losses, parse


def lived(history, cell="gru", subject=None, at_the_end=False):
    case, _ = parse(f"v1 {cell} i2 h2 t2 n2 float32 do={','.join(history)} fill=normal seed=3")
    problem = case.on(cell)
    request = LiveThrough(problem, ("grad",), loss=losses.loss(case, problem), history=history, at_the_end=at_the_end)
    return request.execute(subject or torch_nn())[0]


def test_every_operation_of_the_model_is_done():
    assert set(DONE) | {"tie"} == set(OPERATIONS)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "export"])
def test_linear_layer_is_led_along(name):
    companion = _Companion.of(parse("v1 gru i2 h2 t2 n2 float32 fill=normal seed=3")[0].on("gru"))
    for one in beginning(name):
        told, otherwise = companion.taken_through(one)
        assert isinstance(told, str)
        assert set(otherwise) <= {"wanting", "names"}


def test_module_is_called_after_each_operation_or_the_last():
    assert [one.operation for one in lived(("forward", "step", "eval")).after] == ["forward", "step", "eval"]
    assert [one.operation for one in lived(("forward", "step", "eval"), at_the_end=True).after] == ["eval"]


def test_history_ends_where_a_linear_layer_fails(monkeypatch):
    def failing(one):
        if isinstance(one.module, torch.nn.Linear):
            raise RuntimeError("not of a linear layer")

    monkeypatch.setitem(DONE, "share_memory", failing)
    seen = lived(("forward", "share_memory", "step"))
    assert [one.operation for one in seen.after] == ["forward"]
    assert seen.ended == "share_memory: not of a linear layer"
