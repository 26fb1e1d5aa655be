"""Learn to convert: the networks, the pure train step, the loop around it, checkpoints."""
