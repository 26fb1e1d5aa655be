"""Hear a waveform once, in every way that the measures need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gst_jax import sound
from gst_jax.config import AudioConfig
from gst_jax.evaluation.metrics import style, texture
from gst_jax.evaluation.metrics.transcription import Transcription, transcribe
from gst_jax.types import Array, Progress

# What every waveform is measured by, whatever a run's own analysis: or figures of two runs could not be compared.
ANALYSIS = AudioConfig(sample_rate=16_000, n_fft=1024, hop_length=252, n_mels=64, f_min=0.0, f_max=8_000.0)
_LEVEL = 0.1  # RMS of everything that is measured: loudness is no style
_RECOLOURED = 4  # versions of each training track


@dataclass(frozen=True)
class Heard:
    """One sound at the common level and rate."""

    log_mel: Array  # [T, M] dB
    spectrum: Array  # [T, F]
    windows: Array  # [W, K], in the embedding of the ear
    transcription: Transcription


def hear(waveform: Array, sample_rate: int, ear: style.Ear) -> Heard:
    """Analyse a waveform [N]."""
    waveform = common(waveform, sample_rate)
    return Heard(
        log_mel=sound.log_mel(waveform, ANALYSIS),
        spectrum=sound.stft(waveform, ANALYSIS),
        windows=hear_style(waveform, ANALYSIS.sample_rate, ear),
        transcription=transcribe(waveform, ANALYSIS.sample_rate),
    )


def hear_style(waveform: Array, sample_rate: int, ear: style.Ear) -> Array:
    """Place the windows of a waveform [N] in the embedding of the ear, [W, K]."""
    return ear.embed(texture.describe(power_of(waveform, sample_rate), ANALYSIS))


def train_ear(
    training: dict[str, list[Array]],
    sample_rate: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> style.Ear:
    """Learn to tell genres apart from tracks [N] that are never evaluated on, each also in random colours."""
    random = np.random.default_rng(seed)
    flat = [(genre, track) for genre, tracks in training.items() for track in tracks]
    described: dict[str, list[list[Array]]] = {genre: [] for genre in training}
    for genre, track in progress(flat, desc="learning to tell genres apart", unit="track") if progress else flat:
        power = power_of(track, sample_rate)
        versions = [power, *(texture.recolour(power, random) for _ in range(_RECOLOURED))]
        described[genre].append([texture.describe(version, ANALYSIS) for version in versions])
    return style.train_ear(described)


def power_of(waveform: Array, sample_rate: int) -> Array:
    """Return the power spectrum of a waveform [N] at the common level and rate, [T, F]."""
    return np.square(np.abs(sound.stft(common(waveform, sample_rate), ANALYSIS)))


def common(waveform: Array, sample_rate: int) -> Array:
    """Give a waveform [N] the common level and rate; silence stays silent."""
    waveform = sound.resample(waveform, sample_rate, ANALYSIS.sample_rate)
    level = float(np.sqrt(np.mean(np.square(waveform))))
    return waveform * np.float32(_LEVEL / level) if level > 1e-6 else waveform
