"""The names of cells, as properties and reports use them."""

from reference.problem import CELL_SUFFIX, GRU, LSTM, RNN_RELU, RNN_TANH

MODULES = (RNN_TANH, RNN_RELU, LSTM, GRU)
"""Classes that take a whole sequence."""

SINGLE_STEPS = tuple(name + CELL_SUFFIX for name in MODULES)
"""Classes that take one step at a time."""

CELL_NAMES = {
    "rnn_tanh": "RNN(tanh)",
    "rnn_relu": "RNN(relu)",
    "lstm": "LSTM",
    "gru": "GRU",
    "rnn_tanh_cell": "RNNCell(tanh)",
    "rnn_relu_cell": "RNNCell(relu)",
    "lstm_cell": "LSTMCell",
    "gru_cell": "GRUCell",
    "": "modules",
}
"""The name of each cell in reports."""


def class_of(cell: str) -> str:
    """The name of PyTorch's class that a cell is of: `RNN` for rnn_tanh."""
    return CELL_NAMES[cell].partition("(")[0]
