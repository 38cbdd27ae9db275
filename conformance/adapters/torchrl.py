"""LSTM, GRU and their Cells of TorchRL: `--subject conformance.adapters.torchrl`. What they lack the suite finds."""

from torchrl.modules import GRU, LSTM, GRUCell, LSTMCell

__all__ = ["GRU", "LSTM", "GRUCell", "LSTMCell"]
