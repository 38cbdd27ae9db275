"""torch.nn.utils.rnn.pack_sequence: raised RuntimeError

RuntimeError: 'lengths' argument should be a 1D CPU int64 tensor, but got 1D meta Long tensor.
Needs torch alone. Exit code: 10 with the defect, 0 without, 2 if the script cannot run."""

import subprocess
import sys

try:
    import torch
except ImportError:
    sys.exit(2)


def call():
    ROWS = [[[1]]]
    rows = [torch.tensor(row, dtype=torch.float32) for row in ROWS]
    with torch.device("meta"):
        result = torch.nn.utils.rnn.pack_sequence(rows)


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
        print(f"raised {type(error).__name__}: {error}")
    sys.exit(0)
got = ending()
print(f"expected the call to return\ngot      {got}")
sys.exit(10 if got.startswith('raised RuntimeError:') else 0 if got == "returned" else 2)
