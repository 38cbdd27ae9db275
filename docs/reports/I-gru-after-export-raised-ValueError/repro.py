"""GRU(1, 1, bias=False), float32: raised ValueError in torch.export

ValueError: in export: The tensor attributes self._flat_weights[0], self._flat_weights[1] were assigned during
export. Such attribute…le/generated/torch.nn.Module.html#torch.nn.Module.register_buffer).
What is done to the module: torch.export.
Needs torch alone. Exit code: 10 with the defect, 0 without, 2 if the script cannot run."""

import subprocess
import sys

try:
    import torch
    import torch.export
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
    torch.export.export(module, (x,))
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
sys.exit(10 if got.startswith(('raised ValueError:',)) else 0 if got.startswith(('returned',)) else 2)
