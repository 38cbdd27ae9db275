"""GRU(1, 1, bias=False), float32: raised RuntimeError in copy.deepcopy after register_parametrization

RuntimeError: in deepcopy: Only Tensors created explicitly by the user (graph leaves) support the deepcopy
protocol at the moment. If…ght_norm usage, see https://github.com/pytorch/pytorch/pull/103001.
What is done to the module: register_parametrization; copy.deepcopy.
Needs torch alone. Exit code: 10 with the defect, 0 without, 2 if the script cannot run."""

import copy
import subprocess
import sys

try:
    import torch
    import torch.nn.utils.parametrize
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
    class Twice(torch.nn.Module):
        def forward(self, original):
            return 2 * original
    torch.nn.utils.parametrize.register_parametrization(module, 'weight_ih_l0', Twice())
    module(x)
    other, module = module, copy.deepcopy(module)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(2)
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
