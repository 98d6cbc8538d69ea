"""Benchmarks of training steps, mixing, labelling and loading, with all methods paired in one run."""
