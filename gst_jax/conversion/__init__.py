"""Convert sound of any length with what a run has learned."""
