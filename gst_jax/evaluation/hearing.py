"""Hear a waveform once, in every way that the measures need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gst_jax import audio as sound
from gst_jax.config import AudioConfig
from gst_jax.metrics import style, texture
from gst_jax.metrics.transcription import Transcription, transcribe

Array = NDArray[np.float32]

_LEVEL = 0.1  # RMS of everything that is measured: loudness is no style
_RECOLOURED = 4  # versions of each training track


@dataclass(frozen=True)
class Heard:
    """One sound at the common level."""

    log_mel: Array  # [T, M] dB
    spectrum: NDArray[np.complex64]  # [T, F]
    windows: Array  # [W, K], in the embedding of the ear
    transcription: Transcription


def hear(waveform: Array, audio: AudioConfig, ear: style.Ear) -> Heard:
    """Analyse a waveform [N]."""
    waveform = leveled(waveform)
    return Heard(
        log_mel=sound.log_mel(waveform, audio),
        spectrum=sound.stft(waveform, audio),
        windows=hear_style(waveform, audio, ear),
        transcription=transcribe(waveform, audio.sample_rate),
    )


def hear_style(waveform: Array, audio: AudioConfig, ear: style.Ear) -> Array:
    """Place the windows of a waveform [N] in the embedding of the ear, [W, K]."""
    return ear.embed(texture.describe(power_of(waveform, audio), audio))


def train_ear(
    training: dict[str, list[Array]],
    audio: AudioConfig,
    seed: int = 0,
    progress: Callable[..., Any] | None = None,
) -> style.Ear:
    """Learn to tell genres apart from tracks [N] that are never evaluated on, each also in random colours."""
    random = np.random.default_rng(seed)
    flat = [(genre, track) for genre, tracks in training.items() for track in tracks]
    described: dict[str, list[list[Array]]] = {genre: [] for genre in training}
    for genre, track in progress(flat, desc="learning to tell genres apart", unit="track") if progress else flat:
        power = power_of(track, audio)
        versions = [power, *(texture.recolour(power, random) for _ in range(_RECOLOURED))]
        described[genre].append([texture.describe(version, audio) for version in versions])
    return style.train_ear(described)


def power_of(waveform: Array, audio: AudioConfig) -> Array:
    """Return the power spectrum of a waveform [N] at the common level, [T, F]."""
    return np.square(np.abs(sound.stft(leveled(waveform), audio)))


def leveled(waveform: Array) -> Array:
    """Give a waveform [N] the common level; silence stays silent."""
    level = float(np.sqrt(np.mean(np.square(waveform))))
    return waveform * np.float32(_LEVEL / level) if level > 1e-6 else waveform
