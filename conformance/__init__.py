"""The contract of PyTorch's recurrent modules as tests, one module per chapter, and the harness that runs them."""

import os

# Libraries read these variables once, on first use. Values set by the user are kept.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
"""NumPy's products in one thread, as PyTorch's are: several processes with several each wait for one another."""

os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
"""How many compiled kernels oneDNN keeps, instead of 1,024: those of one shape are a few dozen and take megabytes, and
hardly a shape is drawn twice. A kernel that was let go is compiled anew, and is the same."""

os.environ.setdefault("LRU_CACHE_CAPACITY", "32")
"""The same for each of the caches of 1,024 that PyTorch's own layer over oneDNN keeps for products and convolutions."""
