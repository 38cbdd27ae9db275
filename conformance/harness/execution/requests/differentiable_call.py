"""A call as a function of everything that it can be differentiated by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.func import functional_call
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from conformance.harness.execution import tensors
from conformance.harness.execution.inputs import Inputs, data_of, inputs
from conformance.harness.execution.module_call import named_results
from conformance.harness.execution.requests.backward import as_returned
from reference.problem import Loss, Problem

Tensors = dict[str, torch.Tensor]
"""By name: input, h_0, c_0 and parameters; or output, h_n and c_n."""


@dataclass(frozen=True)
class DifferentiableCall:
    """A module of the subject's and one call of it.

    leaves      what can be differentiated by, contiguous and requiring no gradient; of a packed input its data
    packed      the packed input, None where the input is padded
    cotangents  what each result that takes part in the loss is multiplied by, in the shape that the call returns
    """

    module: torch.nn.Module
    problem: Problem
    leaves: Tensors
    packed: PackedSequence | None
    cotangents: Tensors

    @classmethod
    def of(cls, module: torch.nn.Module, problem: Problem, loss: Loss) -> DifferentiableCall:
        """The function of a problem; the module's own parameters require gradients and have none."""
        given = inputs(problem)
        packed = given.input if isinstance(given.input, PackedSequence) else None
        parameters = dict(module.named_parameters())
        for parameter in parameters.values():
            parameter.grad = None
            parameter.requires_grad_()
        leaves = given.by_name() | {name: parameters[name] for name in problem.parameters}
        cotangents = {
            name: tensors.tensor(as_returned(problem, name, values), problem.dtype, problem.device)
            for name, values in loss.cotangents.items()
        }
        if packed is not None and "output" in cotangents:
            cotangents["output"] = _packed_like(packed, cotangents["output"], problem)
        own = {name: leaf.detach().clone(memory_format=torch.contiguous_format) for name, leaf in leaves.items()}
        return cls(module, problem, own, packed, cotangents)

    def arguments(self, leaves: Mapping[str, torch.Tensor]) -> tuple[Any, ...]:
        """Positional arguments of the call, made of these leaves."""
        x = leaves["input"] if self.packed is None else self.packed._replace(data=leaves["input"])
        return Inputs(x, tuple(leaves[name] for name in ("h_0", "c_0") if name in leaves)).arguments()

    def results(self, leaves: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """The results that take part in the loss, of a call with these leaves in the place of the module's own."""
        parameters = {name: leaves[name] for name in self.problem.parameters}
        return self.chosen(functional_call(self.module, parameters, self.arguments(leaves)))

    def chosen(self, returned: object) -> tuple[torch.Tensor, ...]:
        """Of what a call returned, the results that take part in the loss; of a packed one its data."""
        results = named_results(returned, self.problem.architecture)
        return tuple(data_of(results[name]) for name in self.cotangents)

    def loss(self, leaves: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Results times cotangents, summed up: a tensor without axes."""
        pairs = zip(self.results(leaves), self.cotangents.values(), strict=True)
        return torch.stack([(result * cotangent).sum() for result, cotangent in pairs]).sum()

    def requiring(self) -> Tensors:
        """The leaves again, requiring gradients."""
        return {name: leaf.clone().requires_grad_() for name, leaf in self.leaves.items()}

    def with_own_parameters(self) -> Tensors:
        """The inputs requiring gradients, and the module's very parameters."""
        own = dict(self.module.named_parameters())
        return {name: own.get(name, leaf) for name, leaf in self.requiring().items()}

    def arrays(self, gradients: Mapping[str, torch.Tensor | None]) -> dict[str, np.ndarray]:
        """Gradients as an observation keeps them, that of a packed input padded; what got none is left out."""
        got = {name: gradient.detach() for name, gradient in gradients.items() if gradient is not None}
        if self.packed is not None and "input" in got:
            sequence, a = self.packed._replace(data=got["input"]), self.problem.architecture
            got["input"] = pad_packed_sequence(sequence, a.batch_first, total_length=self.problem.steps)[0]
        return {name: tensors.array(gradient) for name, gradient in got.items()}


def _packed_like(packed: PackedSequence, padded: torch.Tensor, problem: Problem) -> torch.Tensor:
    """The data of a padded batch that is packed as the input was."""
    lengths = torch.tensor(problem.lengths)
    in_order = packed.sorted_indices is None
    return pack_padded_sequence(padded, lengths, problem.architecture.batch_first, enforce_sorted=in_order).data
