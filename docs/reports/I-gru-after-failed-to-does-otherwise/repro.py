"""GRU(1, 1, bias=False), float32: does otherwise after a module.to that fails

after failed_to, does otherwise: got other weights than those that are given count; the first parameter stays,
each other stays docum… that are given count; the first parameter stays, each other stays.
What is done to the module: a module.to that fails; torch.func.functional_call.
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
    got = 'the weights that are given count'
    for names in (list(WEIGHTS), list(WEIGHTS)[-1:]):
        given = {name: 2 * getattr(module, name).detach() for name in names}
        first = torch.func.functional_call(module, given, (x,))
        with torch.no_grad():
            [getattr(module, name).mul_(2) for name in names]
            second = module(x)
            [getattr(module, name).div_(2) for name in names]
        if not torch.allclose(first[0], second[0]):
            got = 'other weights than those that are given count'
    wanted = 'the weights that are given count'
    return 'the same' if got == wanted else f'another: {got}'
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
print(f"expected what torch.nn.Linear does\ngot      {got}")
sys.exit(10 if got.startswith(('another',)) else 0 if got.startswith(('the same',)) else 2)
