"""Measure what the ear goes by: where sounds begin, which pitches sound, and how loud it is, over time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from gst_jax import sound
from gst_jax.config import AudioConfig
from gst_jax.types import Array

RATE = 22_050  # Hz; what is heard here needs no more
HOP = 256  # samples between the frames of onsets
PITCH_HOP = 2048  # samples between the frames of pitches
FPS = RATE / HOP
PITCH_FPS = RATE / PITCH_HOP
BANDS = 4  # of the spectral balance, which meet at 200, 800 and 3200 Hz
LOWEST_PITCH, PITCHES = 28, 72  # MIDI: from the lowest string of a bass, six octaves

_ONSETS = AudioConfig(sample_rate=RATE, n_fft=1024, hop_length=HOP, n_mels=64, f_min=30.0, f_max=10_000.0)
_PITCHES = AudioConfig(sample_rate=RATE, n_fft=8192, hop_length=PITCH_HOP)
_BINS = int(440 * 2 ** ((LOWEST_PITCH + PITCHES - 69) / 12) * _PITCHES.n_fft / RATE) + 2  # up to the highest pitch
_BLOCK = 2**20  # samples measured at a time: an hour needs no gigabytes
_CONTEXT = 2**14  # samples around them, more than a window and its lag
_LOW_BANDS = 5  # of the mel bands: below 200 Hz
_BAND_STARTS = (0, _LOW_BANDS, 15, 42)  # in the mel bands
_LOW_WEIGHT = 0.3  # of them beside the mean over all: a bass marks the beat, and is few bands
_LEVEL = 0.1  # RMS of a song as it is measured
_NEIGHBOURS = 41  # bins around a partial, 110 Hz, whose mean it must exceed
_PROMINENCE = 2.0
_NARROW = 0.14  # semitones from a key at which a partial counts less: fifth and seventh harmonics are flat by more
_FAINT = 10 ** (-50 / 20)  # of a frame's strongest partial: no pitch is weaker


@dataclass(frozen=True)
class Features:
    """A song as curves over time; frame t is centred at t hops."""

    seconds: float
    onsets: Array  # how far the level rises, mean over mel bands, the low ones stressed, dB, float32 [T]
    low_onsets: Array  # the mean below 200 Hz
    energy: Array  # mean square of the hop around each onset frame, float32 [T]
    bands: Array  # mean power in each of the bands, float32 [T, bands]
    pitches: Array  # strength of each semitone from LOWEST_PITCH, float32 [P, PITCHES]
    purity: float  # how closely the partials keep to one tuning, 0 to 1
    tuning: float  # cents of A above 440 Hz, -50 to 50


def measure(samples: Array, rate: int) -> Features:
    """Measure a song.

    Args:
        samples: mono, float [N].
        rate: Hz.

    Raises:
        ValueError: when a sample is not finite.
    """
    wave = sound.resample(samples, rate, RATE)
    power = float(np.vdot(wave, wave)) / max(len(wave), 1)
    if not np.isfinite(power):
        raise ValueError(
            "the samples hold NaN, infinity or far too large values; repair the sound before it is heard"
        )
    gain = np.float32(_LEVEL / np.sqrt(power) if power > 0 else 0.0)
    rises, energy, bands, partials = [], [], [], []
    for block, before, count in _blocks(wave):
        kept = slice(before // HOP, -(-(before + count) // HOP))
        log_mel = sound.log_mel(gain * block, _ONSETS)
        rises.append(_rises(log_mel)[kept])
        bands.append(np.add.reduceat(10 ** (log_mel[kept] / 10), _BAND_STARTS, axis=1))
        energy.append(uniform_filter1d(np.square(block), HOP, mode="constant")[::HOP][kept])
        kept = slice(before // PITCH_HOP, -(-(before + count) // PITCH_HOP))
        partials.append(_partials(np.abs(sound.stft(gain * block, _PITCHES)[kept, :_BINS])))
    rise = np.concatenate(rises)
    pitches, purity, tuning = _tuned(partials)
    return Features(
        seconds=len(samples) / rate,
        onsets=rise[:, 0],
        low_onsets=rise[:, 1],
        energy=np.concatenate(energy),
        bands=np.concatenate(bands),
        pitches=pitches,
        purity=purity,
        tuning=tuning,
    )


def _blocks(wave: Array) -> Iterator[tuple[Array, int, int]]:
    """Yield pieces of a wave [N] with sound around them, the samples before the piece, and the samples of it."""
    for start in range(0, max(len(wave), 1), _BLOCK):
        before = min(start, _CONTEXT)
        count = min(_BLOCK, len(wave) - start)
        piece = wave[start - before : start + count + _CONTEXT]
        yield np.pad(piece, (0, before + count + _CONTEXT - len(piece))), before, count


def _rises(log_mel: Array) -> Array:
    """Return how far the level rises within two frames, in all bands, the low ones stressed, and in these: [T, 2].

    Against the highest of three neighbouring bands before, so that a gliding pitch is no onset (SuperFlux, Boeck &
    Widmer 2013).
    """
    before = np.pad(maximum_filter1d(log_mel, 3, axis=1), ((2, 0), (0, 0)), mode="edge")  # no onset: it was cut there
    rise = np.maximum(log_mel - before[:-2], 0)
    low = rise[:, :_LOW_BANDS].mean(axis=1)
    return np.stack([rise.mean(axis=1) + _LOW_WEIGHT * low, low], axis=1)


def _partials(magnitude: Array) -> tuple[int, Array, Array, Array]:
    """Find the peaks of spectra [T, F]: the number of frames, and each peak's frame, MIDI pitch and strength."""
    middle = magnitude[:, 1:-1]
    ground = uniform_filter1d(magnitude, _NEIGHBOURS, axis=1)[:, 1:-1]
    is_peak = (middle > magnitude[:, :-2]) & (middle >= magnitude[:, 2:]) & (middle > _PROMINENCE * ground)
    is_peak &= middle > _FAINT * magnitude.max(axis=1, keepdims=True, initial=1e-6)
    frame, place = np.nonzero(is_peak)
    below, peak, above = (np.log(np.maximum(magnitude[frame, place + step], 1e-9)) for step in range(3))
    # A parabola through three points in dB is where the window's main lobe has its top.
    exact = place + 1 + 0.5 * (below - above) / (below - 2 * peak + above)
    pitch = 69 + 12 * np.log2(exact * (RATE / _PITCHES.n_fft) / 440.0)
    return len(magnitude), frame.astype(np.int32), pitch.astype(np.float32), np.sqrt(middle[frame, place])


def _tuned(partials: list[tuple[int, Array, Array, Array]]) -> tuple[Array, float, float]:
    """Gather partials into semitones of the song's own tuning: [P, PITCHES], the purity, the tuning in cents."""
    turns, total = 0j, 1e-9
    for _, _, pitch, strength in partials:
        inside = (pitch > LOWEST_PITCH + 20) & (pitch < LOWEST_PITCH + PITCHES)  # where a semitone is many bins
        turns += complex(np.sum(strength[inside] * np.exp(2j * np.pi * pitch[inside])))
        total += float(strength[inside].sum())
    offset = float(np.angle(turns) / (2 * np.pi))
    rows = []
    for count, frame, pitch, strength in partials:
        nearest = np.round(pitch - offset)
        strength = strength * np.exp(-0.5 * ((pitch - offset - nearest) / _NARROW) ** 2)
        key = nearest.astype(int) - LOWEST_PITCH
        inside = (key >= 0) & (key < PITCHES)
        flat = np.bincount(frame[inside] * PITCHES + key[inside], strength[inside], count * PITCHES)
        rows.append(flat.reshape(count, PITCHES).astype(np.float32))
    return np.concatenate(rows), abs(turns) / total, 100 * offset
