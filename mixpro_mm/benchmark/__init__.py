"""Speed and memory of a training step and of loading, all methods paired in one run."""
