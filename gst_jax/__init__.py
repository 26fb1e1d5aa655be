"""Transfer music across genres with networks trained on a laptop CPU in minutes."""

__version__ = "0.1.0"
