"""Own a run directory: its files, the way to write them, what made them."""
