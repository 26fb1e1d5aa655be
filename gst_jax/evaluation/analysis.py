"""Analyse waveforms once, for all measures together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gst_jax import sound
from gst_jax.config import AudioConfig
from gst_jax.evaluation.metrics import style, texture
from gst_jax.evaluation.metrics.transcription import Transcription, transcribe
from gst_jax.evaluation.progress import shown
from gst_jax.types import Array, Progress

# Every waveform is measured with these settings, not the run's own, so that figures of different runs compare.
ANALYSIS = AudioConfig(sample_rate=16_000, n_fft=1024, hop_length=252, n_mels=64, f_min=0.0, f_max=8_000.0)
_LEVEL = 0.1  # RMS to which everything is brought first: loudness is not style
_RECOLOURED = 4  # copies of each training track, each with another random equalisation


@dataclass(frozen=True)
class Analysis:
    """What is measured of one waveform, at the common level and sample rate."""

    log_mel: Array  # [T, M] dB
    spectrum: Array  # [T, F]
    windows: Array  # [W, K], windows placed in the style embedding
    transcription: Transcription


def analyse(waveform: Array, sample_rate: int, embedding: style.StyleEmbedding) -> Analysis:
    """Analyse a waveform.

    Args:
        waveform: [N].
        sample_rate: Hz.
        embedding: from `fit_embedding`.
    """
    waveform = common(waveform, sample_rate)
    return Analysis(
        log_mel=sound.log_mel(waveform, ANALYSIS),
        spectrum=sound.stft(waveform, ANALYSIS),
        windows=embed(waveform, ANALYSIS.sample_rate, embedding),
        transcription=transcribe(waveform, ANALYSIS.sample_rate),
    )


def embed(waveform: Array, sample_rate: int, embedding: style.StyleEmbedding) -> Array:
    """Place the windows of a waveform in the style embedding: [N] -> [W, K]."""
    return embedding.embed(texture.describe(power_of(waveform, sample_rate), ANALYSIS))


def fit_embedding(
    training: dict[str, list[Array]], sample_rate: int, progress: Progress | None = None
) -> style.StyleEmbedding:
    """Learn to tell genres apart.

    Randomly equalised copies of each track teach the embedding to ignore equalisation.

    Args:
        training: for each genre, tracks [N] that are used for nothing else.
        sample_rate: of the tracks, Hz.
        progress: as `tqdm.tqdm`.
    """
    rng = np.random.default_rng(0)
    flat = [(genre, track) for genre, tracks in training.items() for track in tracks]
    described: dict[str, list[list[Array]]] = {genre: [] for genre in training}
    for genre, track in shown(flat, progress, "learning to tell genres apart", "track"):
        power = power_of(track, sample_rate)
        versions = [power, *(texture.recolour(power, rng) for _ in range(_RECOLOURED))]
        described[genre].append([texture.describe(version, ANALYSIS) for version in versions])
    return style.fit_embedding(described)


def power_of(waveform: Array, sample_rate: int) -> Array:
    """Return the power spectrum of a waveform at the common level and sample rate: [N] -> [T, F]."""
    return np.square(np.abs(sound.stft(common(waveform, sample_rate), ANALYSIS)))


def common(waveform: Array, sample_rate: int) -> Array:
    """Bring a waveform [N] to the common level and sample rate; silence stays silent."""
    waveform = sound.resample(waveform, sample_rate, ANALYSIS.sample_rate)
    level = float(np.sqrt(np.mean(np.square(waveform))))
    return waveform * np.float32(_LEVEL / level) if level > 1e-6 else waveform
