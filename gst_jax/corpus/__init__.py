"""The built-in corpus: tunes composed by rule, arranged as folk, rock or jazz, rendered to audio."""

from gst_jax.corpus.library import GENRES, REORCHESTRATED, VERSION, build, default_directory, training_folder

__all__ = ["GENRES", "REORCHESTRATED", "VERSION", "build", "default_directory", "training_folder"]
