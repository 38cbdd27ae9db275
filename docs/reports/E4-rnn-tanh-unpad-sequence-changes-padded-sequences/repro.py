"""torch.nn.utils.rnn.unpad_sequence: changes: padded_sequences

The claim: padding and packing leave their arguments alone.
Needs torch alone. Exit code: 10 with the defect, 0 without, 2 if the script cannot run."""

import sys

try:
    import torch
except ImportError:
    sys.exit(2)


def held(tensors):  # the shape of each by its number, then its elements by their places
    found = {(n,): tuple(t.shape) for n, t in enumerate(tensors)}
    for n, t in enumerate(tensors):
        found |= {(n, *at): t[tuple(at)].item() for at in torch.ones(t.shape).nonzero().tolist()}
    return found


ROWS = [[1, 2]]
batch = torch.tensor(ROWS, dtype=torch.float32).transpose(0, 1).contiguous()
lengths = torch.tensor([2], dtype=torch.int64)
before = held([batch])
result = torch.nn.utils.rnn.unpad_sequence(batch, lengths)
after = held([batch])
changed = [at for at in before if repr(before[at]) != repr(after.get(at))][:2]
expected = [(at, before.get(at)) for at in changed]
got = [(at, after.get(at)) for at in changed]
print(f"expected {expected}\ngot      {got}")
sys.exit(10 if got != expected else 0)
