"""Turn a converted log-mel into sound that keeps the source recording's phase, pitch, treble or stereo image."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from gst_jax.audio import LOG_MEL_FLOOR, mel_filters
from gst_jax.config import AudioConfig

Array = np.ndarray[Any, np.dtype[Any]]

ROUTES = ("gain", "griffin_lim")
DEFAULT_ROUTE = "gain"
MAX_GAIN = 30.0  # dB, up or down
MAX_TREBLE_GAIN = 12.0  # dB, above the highest mel band, where the gain is only a guess
OVERLAP = 4  # windows over each sample
_TREBLE_BANDS = 4  # the highest mel bands, whose mean gain holds above them
_MEL_ITERATIONS = 8
_GRIFFIN_LIM_ITERATIONS = 16
_MOMENTUM = 0.99  # Perraudin, Balazs & Sondergaard 2013, "A fast Griffin-Lim algorithm"
_TINY = 1e-10


def synthesize(
    source: Array,
    sample_rate: int,
    source_log_mel: Array,
    target_log_mel: Array,
    audio: AudioConfig,
    route: str = DEFAULT_ROUTE,
    start: float = 0.0,
) -> Array:
    """Render a sound that has the target's log-mel and, as far as the route can, the source's detail.

    Routes: `gain` filters the source with the smooth time-varying difference of the two log-mels: phase, pitch,
    attacks, treble and stereo image stay, and new partials cannot appear. `griffin_lim` also lets the target fill
    the places where the source is empty, and finds a phase for them by fast Griffin-Lim from the source's.

    Args:
        source: float32 [N, C].
        sample_rate: of the source, Hz; the routes work at this rate, with windows as long in time as the analysis's.
        source_log_mel: [T, M] dB, of the source's mono mix at `audio.sample_rate`.
        target_log_mel: [T, M] dB.
        audio: how the log-mels were made.
        route: one of `ROUTES`.
        start: seconds from the first sample to the centre of the first frame.

    Returns:
        float32 [N, C].

    Raises:
        ValueError: when there is no such route.
    """
    check_route(route)
    n_fft = OVERLAP * hop_length(sample_rate, audio)
    spectrum = stft(source.T, n_fft)  # [C, T', F']
    frame = _frame_positions(spectrum.shape[1], n_fft, sample_rate, audio, start)
    silent = source_log_mel.max(axis=1, keepdims=True) <= LOG_MEL_FLOOR
    target_log_mel = np.where(silent, LOG_MEL_FLOOR, target_log_mel)
    change = _at(frame, _bounded_gain(source_log_mel, target_log_mel))  # [T', M]
    spectrum *= 10.0 ** (_over_frequency(change, sample_rate, n_fft, audio) / 20.0)
    if route == "griffin_lim":
        change = _at(frame, target_log_mel - source_log_mel)
        spectrum = _resynthesised(stft(source.T, n_fft), spectrum, change, sample_rate, n_fft, audio)
    return istft(spectrum, n_fft, len(source)).T


def check_route(route: str) -> None:
    """Raise a ValueError unless there is such a route."""
    if route not in ROUTES:
        raise ValueError(f"unknown route {route!r}; there are {', '.join(ROUTES)}")


def hop_length(sample_rate: int, audio: AudioConfig) -> int:
    """Return the samples between frames where windows last as long as the analysis's at any sample rate."""
    return scipy.fft.next_fast_len(max(1, round(audio.n_fft * sample_rate / audio.sample_rate / OVERLAP)), real=True)


def stft(waveform: Array, n_fft: int) -> Array:
    """Transform with Hann windows a quarter apart, so that every sample lies in as many windows as any other.

    Args:
        waveform: float32 [C, N].
        n_fft: samples in a window, a multiple of 4.

    Returns:
        complex64 [C, T', n_fft // 2 + 1]; frame t is centred on sample (t - 1) * n_fft / 4.
    """
    hop, length = n_fft // OVERLAP, waveform.shape[-1]
    count = -(-length // hop) + OVERLAP - 1
    before = n_fft // 2 + hop
    padded = np.pad(waveform, ((0, 0), (before, (count - 1) * hop + n_fft - before - length)))
    frames = sliding_window_view(padded, n_fft, axis=-1)[:, ::hop] * _window(n_fft)
    return scipy.fft.rfft(frames, axis=-1, overwrite_x=True)


def istft(spectrum: Array, n_fft: int, length: int) -> Array:
    """Invert `stft` by least squares (Griffin & Lim 1984, equation 6): complex [C, T', F'] -> float32 [C, length]."""
    hop = n_fft // OVERLAP
    frames = scipy.fft.irfft(spectrum, n_fft, axis=-1)
    frames *= _window(n_fft) / np.float32(0.375 * OVERLAP)  # the squared windows sum to 3/8 of their overlap
    channels, count, _ = frames.shape
    quarters = frames.reshape(channels, count, OVERLAP, hop)
    out = np.zeros((channels, count + OVERLAP - 1, hop), np.float32)
    for quarter in range(OVERLAP):
        out[:, quarter : quarter + count] += quarters[:, :, quarter]
    return out.reshape(channels, -1)[:, n_fft // 2 + hop :][:, :length]


def _bounded_gain(source: Array, target: Array) -> Array:
    """Return target - source [T, M] in dB, never lifting a level further than it stands above the floor."""
    return np.clip(target - source, -MAX_GAIN, np.minimum(MAX_GAIN, np.maximum(source - LOG_MEL_FLOOR, 0.0)))


def _frame_positions(count: int, n_fft: int, sample_rate: int, audio: AudioConfig, start: float) -> Array:
    """Return where the frames of `stft` lie on the axis of log-mel frames, float [count]."""
    seconds = (np.arange(count) - 1) * (n_fft // OVERLAP) / sample_rate
    return (seconds - start) * audio.frames_per_second


def _at(position: Array, rows: Array) -> Array:
    """Interpolate rows [T, M] linearly at fractional positions [T'], holding the ends: float32 [T', M]."""
    position = np.clip(position, 0, len(rows) - 1)
    lower = np.floor(position).astype(int)
    upper = np.minimum(lower + 1, len(rows) - 1)
    weight = (position - lower)[:, None].astype(np.float32)
    return (rows[lower] * (1 - weight) + rows[upper] * weight).astype(np.float32)


def _over_frequency(gain: Array, sample_rate: int, n_fft: int, audio: AudioConfig) -> Array:
    """Spread a gain in dB per mel band over the bins of a transform: [T', M] -> [T', F']."""
    lower, weight, treble = _spread(sample_rate, n_fft, audio)
    out = gain[:, lower]
    out += (gain[:, lower + 1] - out) * weight
    if treble < out.shape[1]:
        held = gain[:, -_TREBLE_BANDS:].mean(axis=1, keepdims=True)
        out[:, treble:] = np.clip(held, -MAX_TREBLE_GAIN, MAX_TREBLE_GAIN)
    return out


@lru_cache(maxsize=8)
def _spread(sample_rate: int, n_fft: int, audio: AudioConfig) -> tuple[Array, Array, int]:
    """Return how bins lie between mel bands.

    Returns:
        The band below each bin, [F'], the weight of the band above, float32 [F'], and the first bin above all bands.
    """
    filters = mel_filters(audio)
    centres = filters @ np.fft.rfftfreq(audio.n_fft, 1 / audio.sample_rate) / filters.sum(axis=1)
    bins = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    position = np.interp(bins, centres, np.arange(audio.n_mels))
    lower = np.minimum(position.astype(int), audio.n_mels - 2)
    treble = int(np.searchsorted(bins, audio.f_max, side="right"))
    return lower, (position - lower).astype(np.float32), treble


def _resynthesised(
    source: Array, filtered: Array, change: Array, sample_rate: int, n_fft: int, audio: AudioConfig
) -> Array:
    """Give each channel the mel power asked for, also where the source is empty, then a phase that fits.

    Args:
        source: complex64 [C, T', F'], of the source.
        filtered: the same after the bounded gain: the first guess, and all there is above the mel bands.
        change: [T', M] dB between source and target, not bounded.
        sample_rate: Hz.
        n_fft: of the transforms.
        audio: how the log-mels were made.

    Returns:
        complex64 [C, T', F'].
    """
    filters = mel_filters(dataclasses.replace(audio, sample_rate=sample_rate, n_fft=n_fft))
    scale = np.float32((audio.n_fft / n_fft) ** 2)  # power grows with the square of the window's length
    floor = 10.0 ** (LOG_MEL_FLOOR / 10.0)
    wanted = np.maximum(_power(source) @ filters.T * scale, floor) * 10.0 ** (change / 10.0)
    wanted = np.where(wanted > 2.0 * floor, wanted, 0.0).astype(np.float32)
    touched = filters.sum(axis=0) > 0
    weight = np.maximum(filters.sum(axis=0), _TINY) * scale
    power = _power(filtered)
    power += np.where(touched, 1e-3 * (wanted @ filters) / weight, 0.0)  # or an empty bin could never fill
    for _ in range(_MEL_ITERATIONS):  # Richardson-Lucy: keeps the fine structure of the guess, fits the mel bands
        ratio = wanted / np.maximum(power @ filters.T * scale, _TINY)
        power *= np.where(touched, (ratio @ filters) * scale / weight, 1.0)
    magnitude = np.sqrt(power)
    phase = _unit(filtered)
    previous = magnitude * phase
    length = (magnitude.shape[1] - OVERLAP + 1) * (n_fft // OVERLAP)
    for _ in range(_GRIFFIN_LIM_ITERATIONS):
        rebuilt = stft(istft(magnitude * phase, n_fft, length), n_fft)
        phase = _unit(rebuilt + _MOMENTUM * (rebuilt - previous))
        previous = rebuilt
    return magnitude * phase


def _power(spectrum: Array) -> Array:
    return spectrum.real**2 + spectrum.imag**2


def _unit(spectrum: Array) -> Array:
    return spectrum / np.maximum(np.abs(spectrum), _TINY)


@lru_cache(maxsize=16)
def _window(length: int) -> Array:
    """Return the periodic Hann window, float32 [length], read-only."""
    window = (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)).astype(np.float32)
    window.flags.writeable = False
    return window
