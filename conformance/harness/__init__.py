"""The harness that runs the properties and reports findings. Importing this package imports nothing else."""
