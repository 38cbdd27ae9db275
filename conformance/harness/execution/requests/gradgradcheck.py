"""Second derivatives of a call: torch.autograd.gradgradcheck of its loss, as a function of everything at once."""

from __future__ import annotations

import torch
from torch.autograd.gradcheck import GradcheckError, gradgradcheck

from conformance.harness.execution.module_call import seed_generators
from conformance.harness.execution.observation import NO_SECOND_DERIVATIVES
from conformance.harness.execution.requests.differentiable_call import DifferentiableCall, Tensors

STEP = 1e-6
"""The length of the vector that everything is moved along, there and back."""

ATOL, RTOL = 1e-7, 1e-5
"""What a difference quotient may be off by, for numbers around 1 and up to some 250 of them: about 100 roundings on the
way to each gradient, and gradients that sum up to 30 with weights of length 1, make 4e-13, which the step turns into
4e-7; the fast mode multiplies ATOL by a sum of positive weights, 15 for so many numbers. What is cut off is of the
order of the step's square, 1e-12, times a third derivative. Over 1,200 cases of PyTorch 2.13 the worst was 5e-10.
"""

FEW = 100
"""With at most this many variables, second derivatives are checked one by one to locate the wrong one."""


def gradgradcheck_failure(call: DifferentiableCall) -> str:
    """The failure of gradgradcheck for a call's loss in one line; "" if it passes.

    Everything that can be differentiated by lies in one vector: one check then covers second derivatives by any two
    inputs, states and parameters. In its fast mode the check compares one number: what becomes of one gradient, summed
    up with positive weights, along one direction.
    """
    flat = torch.cat([leaf.reshape(-1) for leaf in call.leaves.values()]).requires_grad_()

    def loss(numbers: torch.Tensor) -> torch.Tensor:
        return call.loss(_apart(call, numbers))

    (first,) = torch.autograd.grad(loss(flat), flat, create_graph=True)
    if not first.requires_grad:
        return NO_SECOND_DERIVATIVES
    one = torch.ones((), dtype=flat.dtype, device=flat.device, requires_grad=True)
    try:
        with torch.random.fork_rng(devices=[]):
            seed_generators(0)
            gradgradcheck(
                loss,
                (flat,),
                one,
                eps=STEP,
                atol=ATOL,
                rtol=RTOL,
                fast_mode=True,
                nondet_tol=ATOL,
                check_undefined_grad=False,
            )
    except GradcheckError as error:
        return _worst(call, flat) if flat.numel() <= FEW else " ".join(str(error).split())
    return ""


def _apart(call: DifferentiableCall, numbers: torch.Tensor) -> Tensors:
    """Leaves made of one vector of all their numbers."""
    parts = numbers.split([leaf.numel() for leaf in call.leaves.values()])
    return {name: part.reshape(leaf.shape) for (name, leaf), part in zip(call.leaves.items(), parts, strict=True)}


def _worst(call: DifferentiableCall, flat: torch.Tensor) -> str:
    """The second derivative that is farthest from the difference quotient of two first ones."""

    def gradient(numbers: torch.Tensor, create_graph: bool = False) -> torch.Tensor:
        return torch.autograd.grad(call.loss(_apart(call, numbers)), numbers, create_graph=create_graph)[0]

    first = gradient(flat, create_graph=True)
    rows = [torch.autograd.grad(one, flat, retain_graph=True, allow_unused=True)[0] for one in first]
    got = torch.stack([torch.zeros_like(flat) if row is None else row for row in rows])
    moves = STEP * torch.eye(flat.numel(), dtype=flat.dtype, device=flat.device)
    here = flat.detach()
    moved = [(gradient((here + m).requires_grad_()), gradient((here - m).requires_grad_())) for m in moves]
    quotients = torch.stack([(there - back) / (2 * STEP) for there, back in moved], 1)
    i, j = divmod(int((got - quotients).abs().argmax()), flat.numel())
    names = [f"{name}[{n}]" for name, leaf in call.leaves.items() for n in range(leaf.numel())]
    return (
        f"of the gradient of {names[i]} by {names[j]}:  got {float(got[i, j]):.9g}   "
        f"difference quotient {float(quotients[i, j]):.9g}"
    )
