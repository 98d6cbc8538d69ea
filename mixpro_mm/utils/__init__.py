"""Functions to check arguments and to read checkpoints, JSON files and configs, and a table of backbones."""
