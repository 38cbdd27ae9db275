"""DPRNN, DPLSTM and DPGRU of Opacus: `--subject conformance.adapters.opacus`. They have the documented names."""

from opacus.layers import DPGRU as GRU
from opacus.layers import DPLSTM as LSTM
from opacus.layers import DPRNN as RNN

__all__ = ["GRU", "LSTM", "RNN"]

conformance = {"proj_size": False}
