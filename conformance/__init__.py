"""The contract of PyTorch's recurrent modules as tests, one module per chapter, and the harness that runs them."""
