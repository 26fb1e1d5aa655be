"""Measure a trained run beside the trivial methods that it has to beat."""

from gst_jax.evaluation.measure import evaluate
from gst_jax.evaluation.summary import sentences, summary
from gst_jax.evaluation.tables import read_json, table, write_json, write_plot

__all__ = ["evaluate", "read_json", "sentences", "summary", "table", "write_json", "write_plot"]
