"""What runs the contract and says what it found. Importing this package imports nothing else."""
