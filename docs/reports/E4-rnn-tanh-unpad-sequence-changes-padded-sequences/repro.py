"""torch.nn.utils.rnn.unpad_sequence: changes: padded_sequences

The claim: padding and packing leave their arguments alone.
Needs torch alone. Exit code: 10 with the defect, 0 without, 2 if the script cannot run."""

import sys

try:
    import torch
except ImportError:
    sys.exit(2)

ROWS = [[1, 2]]
batch = torch.tensor(ROWS, dtype=torch.float32).transpose(0, 1).contiguous()
lengths = torch.tensor([2], dtype=torch.int64)
expected = str(batch)
result = torch.nn.utils.rnn.unpad_sequence(batch, lengths)
got = str(batch)
print(f"expected {expected}\ngot      {got}")
sys.exit(10 if got != expected else 0)
