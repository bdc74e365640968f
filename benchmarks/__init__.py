"""What the README's numbers come from, with the limit measured beside them: ``python -m benchmarks``."""
