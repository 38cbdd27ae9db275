"""RNN(1, 1, bias=False), float32: raised ValueError

ValueError: dropout should be a number in range [0, 1] representing the probability of an element being
zeroed.
Needs torch alone. Exit code: 10 with the defect, 0 without, 2 if the script cannot run."""

import subprocess
import sys

try:
    import torch
except ImportError:
    sys.exit(2)

WEIGHTS = {
    "weight_ih_l0": [[0]], "weight_hh_l0": [[0]],
}
X = [[[0]]]

def call():
    with torch.no_grad():
        module = torch.nn.RNN(1, 1, 1, 'tanh', False, False, 0.0, False, device='cpu', dtype=torch.float32)
        module.load_state_dict({name: torch.tensor(values) for name, values in WEIGHTS.items()})
        x = torch.tensor(X, dtype=torch.float32)
        out, h = module(x)


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
sys.exit(10 if got.startswith('raised ValueError:') else 0 if got == "returned" else 2)
