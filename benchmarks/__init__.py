"""What things cost: each module is run with ``python -m benchmarks.<name>``."""
