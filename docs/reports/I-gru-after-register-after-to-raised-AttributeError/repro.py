"""GRU(1, 1), float32: raised AttributeError after register_after_to

AttributeError: 'NoneType' object has no attribute 'dtype'.
What is done to the module: register_after_to.
Needs torch alone. Exit code: 10 with the defect, 0 without, 2 if the script cannot run."""

import subprocess
import sys

try:
    import torch
except ImportError:
    sys.exit(2)

WEIGHTS = {
    "weight_ih_l0": [[-0.9989224672317505], [-1.2817835807800293], [-0.7337396740913391]],
    "weight_hh_l0": [[1.5611034631729126], [-0.18310284614562988], [0.23974311351776123]],
    "bias_ih_l0": [-1.5714459419250488, -0.2606849670410156, 1.6963186264038086],
    "bias_hh_l0": [-0.10589897632598877, 2.1769657135009766, -0.8985586762428284],
}
X = [[[-0.9212630391120911]], [[0.43551790714263916]]]
H_0 = [[[-1.5406229496002197]]]

def call():
    module = torch.nn.GRU(1, 1)
    module.load_state_dict({name: torch.tensor(values) for name, values in WEIGHTS.items()})
    x, h_0 = (torch.tensor(values, dtype=torch.float32) for values in (X, H_0))
    new = torch.nn.Parameter(2 * module.weight_ih_l0.detach())
    del module.weight_ih_l0
    module.to(new.dtype)
    module.register_parameter('weight_ih_l0', new)
    module(x, h_0)[0].sum().backward()


def ending():
    """How a child process ends that makes the call."""
    try:
        child = subprocess.run([sys.executable, __file__, "call"], capture_output=True, timeout=20)
    except subprocess.TimeoutExpired:
        return "did not return within 20 s"
    if child.returncode < 0:
        return f"killed by signal {-child.returncode}"
    told = child.stdout.decode(errors="replace").strip()
    return ascii(told)[1:-1][:200] or f"ended the process with exit code {child.returncode}"


if "call" in sys.argv:
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        call()
        print("returned")
    except Exception as error:
        print(f"raised {type(error).__name__}: {error}")
    sys.exit(0)
got = ending()
print(f"expected what a fresh module with its weights gives\ngot      {got}")
sys.exit(10 if got.startswith(('raised', 'killed')) else 0 if got.startswith(('returned',)) else 2)
