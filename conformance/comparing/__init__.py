"""Two interpreters side by side: what changes for recurrent modules from one PyTorch to another."""
