"""GRU(1, 1, bias=False), float32: other results after a module.to that fails

output, layer 0 forward, row 0, step 0, unit 0: got 0.380797088 (0x1.85efacp-2) a fresh module with these
weights: 0.482013792 (0x1.ed9506p-2).
What is done to the module: a module.to that fails; del module.weight_ih_l0, register_parameter.
Needs torch alone. Exit code: 10 with the defect, 0 without, 2 if the script cannot run."""

import subprocess
import sys

try:
    import torch
except ImportError:
    sys.exit(2)

WEIGHTS = {
    "weight_ih_l0": [[0], [0], [1]], "weight_hh_l0": [[0], [0], [0]],
}
X = [[[1]]]

def call():
    module = torch.nn.GRU(1, 1, bias=False)
    module.load_state_dict({name: torch.tensor(values) for name, values in WEIGHTS.items()})
    x = torch.tensor(X, dtype=torch.float32)
    try:
        module.to('cuda:99')
    except Exception:
        pass
    module(x)
    new = torch.nn.Parameter(2 * module.weight_ih_l0.detach())
    del module.weight_ih_l0
    module.register_parameter('weight_ih_l0', new)
    fresh = torch.nn.GRU(1, 1, bias=False)
    fresh.load_state_dict({name: getattr(module, name).detach() for name in WEIGHTS})
    first, second = fresh(x)[0], module(x)[0]
    wrong = [] if torch.equal(first, second) else [first.tolist(), second.tolist()]
    return f'another result, of a fresh module and of this one: {wrong}' if wrong else 'the same result'
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
sys.exit(10 if got.startswith(('another',)) else 0 if got.startswith(('the same',)) else 2)
