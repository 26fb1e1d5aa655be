"""Measure a trained run beside the trivial methods that it has to beat."""

from gst_jax.evaluation.measure import evaluate
from gst_jax.evaluation.summary import summary
from gst_jax.evaluation.tables import table, write_json, write_plot

__all__ = ["evaluate", "summary", "table", "write_json", "write_plot"]
