"""The contract, one row per clause: what is claimed, how strictly, and where PyTorch's documentation says so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

RED, AMBER, REMARK = "red", "amber", "remark"

DOCS = "https://docs.pytorch.org/docs/stable/generated/"


ANYBODY, TORCH_NN = "", "torch.nn"
"""Whom a clause binds: every subject, or PyTorch's own modules alone."""


@dataclass(frozen=True)
class Clause:
    """One row of the contract.

    id         as in A1
    claim      in one sentence
    severity   of a deviation
    tag        how values are compared
    link       its source
    binds      the subject that it is about, ANYBODY or TORCH_NN
    exact_for  the subject whose kernels keep an `=` between two calls to the bit; others keep it within bounds
    needs_statement  whether it is about what a subject states of itself
    shape_of   results, or "parameters", whose wrong shape is a deviation from this clause whatever property meets it
    """

    id: str
    claim: str
    severity: str
    tag: str
    link: str
    binds: str = ANYBODY
    exact_for: str = ANYBODY
    shape_of: tuple[str, ...] = ()
    needs_statement: bool = False

    def link_for(self, module: str) -> str:
        """Its source, and where that is the page of one of PyTorch's modules the page of this one; "" for none."""
        return (
            re.sub(r"torch\.nn\.(RNN|LSTM|GRU)\.html$", f"torch.nn.{module}.html", self.link) if module else self.link
        )

    def binds_subject(self, name: str) -> bool:
        """Whether the clause is about the subject of this name."""
        return self.binds in (ANYBODY, name)

    def is_exact_for(self, name: str) -> bool:
        """Whether an `=` between two calls of this subject is one to the bit."""
        return self.exact_for in (ANYBODY, name)


def _clause(
    id: str, claim: str, tag: str, source: str = "torch.nn.LSTM.html", severity: str = RED, **more: Any
) -> Clause:
    return Clause(id, claim, severity, tag, DOCS + source, **more)


CLAUSES = {
    clause.id: clause
    for clause in (
        _clause("A1", "output has shape (N, T, D*R), or (T, N, D*R) unless batch_first", "shape", shape_of=("output",)),
        _clause(
            "A2",
            "h_n and c_n have shape (L*D, N, features), never transposed by batch_first",
            "shape",
            shape_of=("h_n", "c_n"),
        ),
        _clause("A3", "parameters have the documented names and shapes", "shape", shape_of=("parameters",)),
        _clause("A3-order", "parameters come in the documented order", "shape", severity=REMARK, binds=TORCH_NN),
        _clause("A4", "results carry the input's dtype and device", "shape"),
        _clause(
            "A4-fake",
            "meta and fake tensors have the shape, dtype and strides of a real call",
            "shape",
            "../torch.compiler_fake_tensor.html",
        ),
        _clause(
            "A4-repr",
            "repr shows every argument that is not its default",
            "shape",
            "torch.nn.RNN.html",
            REMARK,
            binds=TORCH_NN,
        ),
        _clause("A5", "a valid call warns of nothing", "shape", "torch.nn.LSTM.html", REMARK),
        _clause("A6", "arguments have the documented names, order and defaults", "<=b"),
        _clause(
            "A7", "what a subject states as impossible is impossible", "raise", severity=REMARK, needs_statement=True
        ),
        _clause("B1", "values lie within the error bound of the documented equations", "<=b"),
        _clause("B2", "every layer and step lies within the error bound of one step", "<=b"),
        _clause("B3", "the worked example of an RNN comes out as printed", "<=b", "torch.nn.RNN.html"),
        _clause(
            "B3-stream",
            "manual_seed draws the worked examples' weights",
            "<=b",
            "torch.nn.RNN.html",
            REMARK,
            binds=TORCH_NN,
        ),
        _clause("B4", "the worked shapes come out, every element within its bound", "<=b"),
        _clause("B5", "every float16 and bfloat16 value goes through a cell of one unit within its bound", "<=b"),
        _clause("C1", "every gradient lies within the error bound of back-propagation through time by hand", "<=b"),
        _clause(
            "C2",
            "only what requires a gradient gets one, and backward passes add up",
            "=",
            "../notes/autograd.html",
        ),
        _clause(
            "C3",
            "second derivatives exist, and are those of the first in float64",
            "numeric",
            "torch.autograd.gradcheck.gradgradcheck.html",
        ),
        _clause("C4", "gradients are zero beyond the loss, and grow with it by powers of two", "="),
        _clause("C5", "gradients balance: what is pulled by weights, inputs, parts and rows adds up", "<=b"),
        _clause(
            "C6",
            "a way to differentiate that is open to one dtype or kernel is open to the others",
            "raise",
            "../notes/autograd.html",
            REMARK,
        ),
        _clause("D1", "in one direction the last output is the last hidden state", "="),
        _clause("D2", "bidirectional outputs and states split into forward and backward", "="),
        _clause("D3", "states stay inside the bounds that the equations give", "<=b"),
        _clause("D4", "a call is repeatable and changes nothing", "="),
        _clause("D5", "calls of lengths met before take no more memory", "bytes", "../notes/faq.html"),
        _clause(
            "J1",
            "an invalid call is refused, and harms neither the process, nor what it was given, nor the module",
            "raise",
        ),
        _clause(
            "J2",
            "what one cell accepts, its siblings accept; a refusal is an error of a usual type",
            "raise",
            severity=REMARK,
        ),
        _clause(
            "E1",
            "a stack, left-out arguments, unbatched and equally long calls are what they stand for",
            "=",
            exact_for=TORCH_NN,
        ),
        _clause("E2", "a call agrees with its parts: directions, steps, rows, Cells, and with other layouts", "<=b"),
        _clause("E3", "later steps, other rows and the memory around a view do not matter", "="),
        _clause(
            "E4",
            "packing and padding are inverse, say which rows run at each step, and depend on nothing else",
            "=",
            "torch.nn.utils.rnn.pack_padded_sequence.html",
        ),
        _clause(
            "E5",
            "what is set around a call does not matter where everything is given explicitly",
            "=",
            "torch.set_default_device.html",
        ),
        _clause(
            "E4-value",
            "a padding_value comes out exactly, or is refused where the dtype of the rows lacks it",
            "raise",
            "torch.nn.utils.rnn.pad_sequence.html",
            REMARK,
        ),
        _clause(
            "I",
            "whatever was done to a module before, it computes with the weights that it has now",
            "<=b",
            "torch.nn.Module.html",
        ),
        _clause("G", "dropout is differentiated with the mask of its forward pass", "<=b"),
        _clause("F5", "data in which nothing is rounded gives exactly what the equations say", "="),
    )
}
"""Clauses by id."""


def clause_of_shape(name: str) -> str:
    """The id of the clause that says what shape a result, or "parameters", has."""
    return next(clause.id for clause in CLAUSES.values() if name in clause.shape_of)


NOT_TESTED = {
    "A4-fake": "packed sequences: FakeTensorMode refuses to read their lengths (DataDependentOutputException), whether "
    "batch_sizes was made outside of the mode or inside, in every release that was tried",
    "C": "gradients of calls in evaluation mode, which cuDNN does not have; of unbatched calls in 16 bits; of a whole "
    "stack in 16 bits or of many steps, whose layers and steps are judged one by one",
    "C3": "saturated gates and numbers far from 1, of which difference quotients say nothing; relu at its kink; other "
    "devices than the CPU",
    "C6": "hooks other than full backward hooks, vmap over derivatives, and calls of more than one step or layer",
    "D5": "what takes less than 8 kB a call; calls of more than 25 steps with gradients on; packed, bidirectional and "
    "deeper calls, and Cells; memory of devices; systems other than Linux, which do not tell what a process holds",
    "E2": "calls of more than 5 steps whose gates are not all open or shut: there two bounds together say nothing",
    "E3": "dynamic int8 quantization, whose rows share a scale",
    "F1 to F4": "symmetries and closed forms, but for data in which nothing is rounded (F5)",
    "F5": "the LSTM, whose tanh of a whole number is rounded; relu with small integers; in 16 bits more than 120 units "
    "or features, whose sums are rounded",
    "G": "what dropout leaves out and how often, and its gradient but for one row and step between two layers on a CPU",
    "H": "initialisation",
    "I": "optimisers other than SGD and Rprop, and backward hooks of packed sequences",
    "J1": "more than one wrong thing at once, tensors on devices other than meta, and reads of more than 512 elements "
    "beyond a tensor",
    "K": "NaN and inf on purpose, signed zeros, and empty sizes",
    "L": "other routes than eager: torch.compile, torch.export, functional_call, vmap, jit, quantization, ONNX, and "
    "autocast",
    "devices": "CUDA, MPS and XPU are judged where they are present, and nobody has run the suite there",
}
"""What the contract promises and no property looks at yet."""
