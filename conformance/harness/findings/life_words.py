"""What is done to a module in words, as a user of PyTorch writes or calls it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from conformance.harness.cells import SINGLE_STEPS

WORDS: Mapping[str, str] = {
    "forward": "a call",
    "backward": "a backward pass",
    "refused_call": "a refused call",
    "hooks": "hooks registered",
    "export": "torch.export",
    "state_dict": "load_state_dict into another module",
    "state_dict_file": "state_dict saved and loaded into another module",
    "file": "torch.save and torch.load",
    "pickle": "pickled",
    "deepcopy": "copy.deepcopy",
    "copy": "copy.copy",
    "step": "an optimiser step",
    "momentum_step": "an SGD step with momentum",
    "rprop_step": "an Rprop step",
    "in_place": "weights doubled in place",
    "data": "weights doubled through .data",
    "load": "load_state_dict",
    "load_assign": "load_state_dict(assign=True)",
    "reset_parameters": "reset_parameters, load_state_dict",
    "to_empty": "to_empty, load_state_dict",
    "shared_with_another": "weights shared with another module",
    "setattr": "module.{weight} = Parameter",
    "register_parameter": "del module.{weight}, register_parameter",
    "register_after_to": "del module.{weight}, module.to its own dtype, register_parameter",
    "parameters_dict": "module._parameters[name] = Parameter",
    "tie": "two weights made one",
    "untie": "a tied weight replaced",
    "functional_call": "torch.func.functional_call",
    "stack_module_state": "torch.func.stack_module_state",
    "train": "module.train",
    "eval": "module.eval",
    "freeze": "requires_grad_(False)",
    "freeze_first": "requires_grad_(False) of the first weight",
    "freeze_second": "requires_grad_(False) of the second weight",
    "freeze_last": "requires_grad_(False) of the last weight",
    "unfreeze": "requires_grad_(True)",
    "half": "module.to(float16)",
    "bfloat16": "module.to(bfloat16)",
    "float": "module.to(float32)",
    "double": "module.to(float64)",
    "failed_to": "a module.to that fails",
    "share_memory": "share_memory",
    "flatten_parameters": "flatten_parameters",
    "parametrize": "register_parametrization",
    "remove_parametrization": "remove_parametrizations",
    "weight_norm": "parametrizations.weight_norm",
    "old_weight_norm": "torch.nn.utils.weight_norm",
    "remove_weight_norm": "remove_weight_norm",
    "spectral_norm": "parametrizations.spectral_norm",
    "old_spectral_norm": "torch.nn.utils.spectral_norm",
    "remove_spectral_norm": "remove_spectral_norm",
    "orthogonal": "parametrizations.orthogonal",
    "prune": "pruning",
    "remove_pruning": "prune.remove",
    "weight_drop": "a weight-drop recipe",
}
"""Each operation of a history, by its word in a case line. {weight}: the name of the first weight."""


def word_of(operation: str, cell: str = "") -> str:
    """An operation in words; in a module of this cell, or of any."""
    return WORDS[operation].format(weight="weight_ih" if cell in SINGLE_STEPS or not cell else "weight_ih_l0")


def in_words(operations: Iterable[str], cell: str) -> str:
    """Operations one after the other."""
    return "; ".join(word_of(name, cell) for name in operations)


def of_field(field: str, cell: str, fails_itself: bool = False) -> str:
    """What deviates, its operation in words: `after failed_to` is `after a module.to that fails`.

    fails_itself: whether it is the operation that raises, not a call after it
    """
    begin, _, name = field.rpartition(" ")
    return f"{'in' if fails_itself else begin} {word_of(name, cell)}" if begin == "after" and name in WORDS else field
