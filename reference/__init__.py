"""The oracle: the results that a recurrent module must return, with an error bound for each value.

Imports NumPy alone, never torch.
"""

from reference.backward import Gradients, backward, backward_forced, distance_from_kinks, identity_weights
from reference.network import Enclosure, forward, forward_forced
from reference.problem import GRU, LSTM, RNN_RELU, RNN_TANH, Architecture, Loss, Problem
from reference.roundings import Rounding, model

__all__ = [
    "GRU",
    "LSTM",
    "RNN_RELU",
    "RNN_TANH",
    "Architecture",
    "Enclosure",
    "Gradients",
    "Loss",
    "Problem",
    "Rounding",
    "backward",
    "backward_forced",
    "distance_from_kinks",
    "forward",
    "forward_forced",
    "identity_weights",
    "model",
]
