"""Interpreters that stand in for another release: this one, with a GRUCell that differs."""

from __future__ import annotations

import sys
from pathlib import Path

NEGATED = """
forward = torch.nn.GRUCell.forward
torch.nn.GRUCell.forward = lambda self, *given: -forward(self, *given)
"""

GRADIENT_OF_STATE_DOUBLED = """
forward = torch.nn.GRUCell.forward

def changed(self, input, hx):
    return forward(self, input, hx) + (hx - hx.detach())

torch.nn.GRUCell.forward = changed
"""

FOUR_ROUNDINGS = """
forward = torch.nn.GRUCell.forward
torch.nn.GRUCell.forward = lambda self, *given: forward(self, *given) * (1 + 2**-22)
"""

SLOW = """
import time

forward = torch.nn.GRUCell.forward

def changed(self, *given):
    result = forward(self, *given)
    time.sleep(0.01)
    return result

torch.nn.GRUCell.forward = changed
"""

RENAMED = """
def changed(self, state_dict, *given, **options):
    raise RuntimeError('Unexpected key(s) in state_dict: "weight_ih"')

torch.nn.GRUCell.load_state_dict = changed
"""


def interpreter(folder: Path, change: str = "") -> str:
    """The path of an executable in a new folder: this Python, whose torch these lines change."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(f"import torch\n{change}")
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{folder}" exec "{sys.executable}" "$@"\n')
    script.chmod(0o700)
    return str(script)
