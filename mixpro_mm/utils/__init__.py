"""Arguments, checkpoint files, JSON files and configs, read and checked; what is known of each backbone."""
