"""Show what a run learned, to the ear and to the eye."""
