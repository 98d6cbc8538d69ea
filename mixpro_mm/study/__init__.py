"""Studies: pre-training, transfer, evaluation and report with one command that can be interrupted and resumed."""
