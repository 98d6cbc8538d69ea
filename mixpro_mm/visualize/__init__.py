"""Pictures from the command line: what a config mixes, what a checkpoint attends to, what runs have logged."""
