"""Convert without training: the trivial methods that a trained model has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gst_jax import sound
from gst_jax.config import AudioConfig
from gst_jax.conversion.synthesis import synthesize
from gst_jax.runs.directory import Statistics
from gst_jax.types import Array

_DEVIATION_FLOOR = 1.0  # dB, for silent bins, whose deviation is 0
_GAIN_LIMITS = (-60.0, 40.0)  # dB, of a frame of a mosaic
_PALETTE_SECONDS = 300.0  # of all tracks together
_DRIVE = 20.0  # gain before the tanh, on a track at an RMS of 0.1: strong overdrive


def equalise(log_mel: Array, source: Statistics, target: Statistics) -> Array:
    """Give each mel bin the mean and deviation of the target, at most its highest level: dB [T, M] -> [T, M]."""
    standard = (log_mel - np.array(source.mean)) / np.maximum(source.deviation, _DEVIATION_FLOOR)
    wanted = standard * np.array(target.deviation) + np.array(target.mean)
    return np.clip(wanted, sound.LOG_MEL_FLOOR, target.highest).astype(np.float32)


def equaliser(
    waveform: Array, source: Statistics, target: Statistics, audio: AudioConfig, fine_structure: Array
) -> Array:
    """Equalise a waveform, and fill what is made louder by the target's fine structure: [N] -> [N]."""
    log_mel = sound.log_mel(waveform, audio)
    wanted = equalise(log_mel, source, target)
    return synthesize(waveform[:, None], audio.sample_rate, log_mel, wanted, audio, fine_structure)[:, 0]


def distortion(waveform: Array, target: Statistics, audio: AudioConfig, fine_structure: Array) -> Array:
    """Distort by tanh, as a guitar pedal does, then equalise by the track's own statistics: [N] -> [N]."""
    level = max(float(np.sqrt(np.mean(np.square(waveform)))), 1e-4)
    driven = np.tanh(_DRIVE * 0.1 / level * waveform).astype(np.float32) * np.float32(level)
    log_mel = sound.log_mel(driven, audio)
    mean, deviation, highest = log_mel.mean(axis=0), log_mel.std(axis=0), log_mel.max(axis=0)
    own = Statistics(mean=tuple(mean), deviation=tuple(deviation), highest=tuple(highest))
    return equaliser(driven, own, target, audio, fine_structure)


@dataclass(frozen=True)
class Palette:
    """Frames of the target's tracks, from which mosaics are built."""

    log_mel: Array  # [K, M] dB
    spectrum: Array  # [K, F]


def make_palette(tracks: Sequence[Array], audio: AudioConfig) -> Palette:
    """Analyse the first seconds of tracks [N_i], an equal share of each."""
    share = int(_PALETTE_SECONDS * audio.sample_rate / len(tracks))
    return Palette(
        log_mel=np.concatenate([sound.log_mel(track[:share], audio) for track in tracks]),
        spectrum=np.concatenate([sound.stft(track[:share], audio) for track in tracks]),
    )


def musaicing(waveform: Array, source: Statistics, target: Statistics, palette: Palette, audio: AudioConfig) -> Array:
    """Replace each equalised frame by the nearest of the palette (after Driedger et al., 2015): [N] -> [N].

    Frames are compared by their shape alone; the chosen one gets the level of the frame that it replaces.
    """
    padded = np.pad(waveform, (0, audio.hop_length))  # else `istft` could not fill the end
    wanted = equalise(sound.log_mel(padded, audio), source, target)
    query, keys = (part - part.mean(axis=1, keepdims=True) for part in (wanted, palette.log_mel))
    # |x - y|^2 = |x|^2 - 2 x.y + |y|^2, where the first term is the same for every y.
    squares = np.sum(np.square(keys), axis=1)
    blocks = np.array_split(query, 1 + len(query) // 512)
    nearest = np.concatenate([np.argmin(squares - 2 * block @ keys.T, axis=1) for block in blocks])
    level = wanted.mean(axis=1) - palette.log_mel[nearest].mean(axis=1)
    spectrum = palette.spectrum[nearest] * 10 ** (np.clip(level, *_GAIN_LIMITS)[:, None] / 20)
    return sound.istft(spectrum.astype(np.complex64), audio, len(waveform))
