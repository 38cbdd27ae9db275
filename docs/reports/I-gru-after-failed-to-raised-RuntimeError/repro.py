"""GRU(1, 1, bias=False), float32: raised RuntimeError after a module.to that fails

RuntimeError: in the backward pass: Trying to backward through the graph a second time (or directly access
saved tensors after they h…time or if you need to access saved tensors after calling backward.
What is done to the module: parametrizations.weight_norm; a module.to that fails.
Needs torch alone. Exit code: 10 with the defect, 0 without, 2 if the script cannot run."""

import subprocess
import sys

try:
    import torch
    import torch.nn.utils.parametrizations
except ImportError:
    sys.exit(2)

WEIGHTS = {
    "weight_ih_l0": [[0], [0], [0]], "weight_hh_l0": [[0], [0], [0]],
}
X = [[[0]]]

def call():
    module = torch.nn.GRU(1, 1, bias=False)
    module.load_state_dict({name: torch.tensor(values) for name, values in WEIGHTS.items()})
    x = torch.tensor(X, dtype=torch.float32)
    torch.nn.utils.parametrizations.weight_norm(module, 'weight_ih_l0')
    module(x)[0].sum().backward()
    try:
        module.to('cuda:99')
    except Exception:
        pass
    module(x)[0].sum().backward()


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
print(f"expected what a fresh module with its weights gives\ngot      {got}")
sys.exit(10 if got.startswith(('raised RuntimeError:',)) else 0 if got.startswith(('returned',)) else 2)
