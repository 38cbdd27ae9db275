"""What is measured is what a process holds, and nothing that it has let go."""

import gc
import sys

import pytest
import torch

from conformance.harness.execution import memory_use

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no other system is asked")

SIZE, COUNT = 250_000, 8
BYTES = 4 * SIZE * COUNT
"""In a few large pieces: small ones fit into holes that other tests have left in pages that are held anyway."""


@linux
def test_what_is_kept_is_counted_and_what_is_let_go_is_not():
    kept: list[list[torch.Tensor]] = []
    keeping = memory_use.added_by_each(2, lambda: kept.append([torch.ones(SIZE) for _ in range(COUNT)]))
    assert all(0.9 * BYTES < added < 1.5 * BYTES for added in keeping)
    (freed,) = memory_use.added_by_each(1, kept.clear)
    assert -3 * BYTES < freed < -1.5 * BYTES


@linux
def test_garbage_in_a_circle_is_not_counted():
    def make():
        circle: list[object] = [torch.ones(SIZE * COUNT)]
        circle.append(circle)

    assert all(added < BYTES / 4 for added in memory_use.added_by_each(3, make))


@linux
@pytest.mark.parametrize("is_frozen", [False, True])
def test_collector_is_left_as_it_was_whatever_happens(is_frozen):
    def fail():
        raise ZeroDivisionError

    was_frozen = gc.get_freeze_count() > 0
    gc.freeze() if is_frozen else gc.unfreeze()
    try:
        before = gc.get_freeze_count()
        with pytest.raises(ZeroDivisionError):
            memory_use.added_by_each(1, fail)
        assert gc.get_freeze_count() == before
    finally:
        gc.freeze() if was_frozen else gc.unfreeze()


def test_nothing_is_done_where_the_system_does_not_tell(tmp_path, monkeypatch):
    monkeypatch.setattr(memory_use, "STATUS", tmp_path / "none")
    done: list[int] = []
    assert memory_use.added_by_each(3, lambda: done.append(1)) == ()
    assert done == []
