"""torch.nn.utils.rnn.unpad_sequence: lengths is [3, 1], valid is [2, 1], and the call is not refused

accepted, and returns rows of 3 steps in all, for lengths of 4.
Needs torch alone. Exit code: 10 with the defect, 0 without, 2 if the script cannot run."""

import subprocess
import sys

try:
    import torch
except ImportError:
    sys.exit(2)


def call():
    ROWS = [[[0], [0]], [[0]]]
    batch = torch.full((2, 2, 1), float("nan"), dtype=torch.float32)
    for n, row in enumerate(ROWS):
        batch[n, : len(row)] = torch.tensor(row, dtype=torch.float32)
    batch = batch.transpose(0, 1).contiguous()
    lengths = torch.tensor([2, 1], dtype=torch.int64)
    lengths = torch.tensor([3, 1])
    call.made = True
    torch.nn.utils.rnn.unpad_sequence(batch, lengths)


def ending():
    """How a child process ends that makes the call."""
    try:
        child = subprocess.run([sys.executable, "-W", "ignore", __file__, "call"], stdout=subprocess.PIPE, timeout=20)
    except subprocess.TimeoutExpired:
        return "did not return within 20 s"
    if child.returncode < 0:
        return f"killed by signal {-child.returncode}"
    told = child.stdout.decode(errors="replace").strip()
    return ascii(told)[1:-1][:200] or f"ended the process with exit code {child.returncode}"


if "call" in sys.argv:
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        print(call() or "returned")
    except Exception as error:
        print(f"{'the call ' * hasattr(call, 'made')}raised {type(error).__name__}: {error}")
    sys.exit(0)
got = ending()
print(f"expected an exception\ngot      {got}")
sys.exit(10 if got.startswith(('returned', 'killed by signal')) else 0 if got.startswith(('the call raised',)) else 2)
