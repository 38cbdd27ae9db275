"""LSTMCell(1, 1), float32: input has shape (1,) beside h_0 of (1, 1), valid is (1, 1), and the call is killed by
signal 11 (SIGSEGV)

killed by signal 11 (SIGSEGV).
Needs torch alone. Exit code: 10 with the defect, 0 without, 2 if the script cannot run."""

import subprocess
import sys

try:
    import torch
except ImportError:
    sys.exit(2)

WEIGHTS = {
    "weight_ih": [[0], [0], [0], [0]], "weight_hh": [[0], [0], [0], [0]], "bias_ih": [0] * 4,
    "bias_hh": [0] * 4,
}
X = [[0]]
H_0 = [[0]]
C_0 = [[0]]

def call():
    module = torch.nn.LSTMCell(1, 1)
    module.load_state_dict({name: torch.tensor(values) for name, values in WEIGHTS.items()})
    x, h_0, c_0 = (torch.tensor(values, dtype=torch.float32) for values in (X, H_0, C_0))
    x = torch.ones(1)
    call.made = True
    h, c = module(x, (h_0, c_0))


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
SHOWS = ('returned', 'killed by signal')
for _ in range(5):  # whether it ends the process hangs on what lies in memory
    got = ending()
    if got.startswith(SHOWS):
        break
print(f"expected an exception\ngot      {got}")
sys.exit(10 if got.startswith(SHOWS) else 0 if got.startswith(('the call raised',)) else 2)
