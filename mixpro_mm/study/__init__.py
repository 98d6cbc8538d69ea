"""A study: pre-train, hand over, evaluate, report; one command, resumable at any point."""
