"""Compute on waveforms [N]: rates, channels, spectra [T, F] or log-mel levels [T, M]."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import scipy.sparse
from numpy.lib.stride_tricks import sliding_window_view

from gst_jax.config import AudioConfig
from gst_jax.runs.directory import cache_dir
from gst_jax.types import Array

LOG_MEL_FLOOR = -50.0  # dB, of a mel power of 1e-5
_BLOCK_FRAMES = 256  # of spectrum at a time: fits the cache, and an hour needs no gigabytes


def resample(waveform: Array, rate_in: int, rate_out: int) -> Array:
    """Change the sample rate, band-limited (soxr, high quality).

    Args:
        waveform: [N] or [N, C].
        rate_in: Hz.
        rate_out: Hz.

    Returns:
        float32 [ceil(N * rate_out / rate_in)] or the same with C; the input itself when the rates are equal.
    """
    import soxr

    waveform = np.asarray(waveform, np.float32)
    if rate_in == rate_out:
        return waveform
    length = -(-len(waveform) * rate_out // rate_in)
    out = np.asarray(soxr.resample(waveform, rate_in, rate_out, quality="HQ"), np.float32)[:length]
    padding = [(0, length - len(out))] + [(0, 0)] * (out.ndim - 1)
    return np.pad(out, padding) if len(out) < length else out


def mono(samples: Array) -> Array:
    """Average the channels: float32 [N, C] -> [N]."""
    channels = samples.shape[1]
    return samples[:, 0] if channels == 1 else samples @ np.full(channels, 1.0 / channels, np.float32)


def decibels(power: Array) -> Array:
    """Return the level of mel powers, float32 dB, never below `LOG_MEL_FLOOR`."""
    floor = np.float32(10.0 ** (LOG_MEL_FLOOR / 10.0))
    return np.float32(10.0) * np.log10(np.maximum(power, floor))


def powers(decibels: Array) -> Array:
    """Return 10 ** (dB / 10)."""
    return np.exp(decibels * np.float32(math.log(10.0) / 10.0))


@lru_cache(maxsize=16)
def hann(length: int) -> Array:
    """Return the periodic Hann window, float32 [length], read-only."""
    from scipy.signal import get_window  # takes a moment to import

    window = get_window("hann", length).astype(np.float32)
    window.flags.writeable = False
    return window


@lru_cache(maxsize=8)
def mel_filters(audio: AudioConfig) -> Array:
    """Build area-normalised triangular filters on Slaney's mel scale, `librosa.filters.mel`.

    Returns:
        float32 [M, F], read-only, F = n_fft // 2 + 1.
    """
    _let_numba_cache()
    from librosa.filters import mel  # takes half a second to import

    filters = mel(sr=audio.sample_rate, n_fft=audio.n_fft, n_mels=audio.n_mels, fmin=audio.f_min, fmax=audio.f_max)
    filters.flags.writeable = False
    return filters


def stft(waveform: Array, audio: AudioConfig) -> Array:
    """Transform to complex spectra of centred, periodic-Hann-windowed frames, zeros beyond both ends.

    They are librosa's without the last one, so that whole hops give whole frames: 2.0 s at 16 kHz are 126.

    Args:
        waveform: float [N].
        audio: the frame sizes.

    Returns:
        complex64 [N // hop_length, F]; no frame at all for less than one hop of sound.
    """
    blocks = list(_spectra(waveform, audio))
    return np.concatenate(blocks) if blocks else np.zeros((0, audio.n_fft // 2 + 1), np.complex64)


def istft(spectrum: Array, audio: AudioConfig, length: int) -> Array:
    """Invert `stft` by overlap-add over the sum of the squared windows (Griffin & Lim 1984, equation 6).

    The dropped last frame leaves the end, up to two hops after the last centre, in the skirts of the windows.
    Dividing by next to nothing there would turn any change of the spectrum into a click, so the divisor has a
    floor, where the end fades instead: append a hop of zeros before `stft` to have every sample exact.

    Args:
        spectrum: complex [T, F].
        audio: the frame sizes, as given to `stft`.
        length: N, the samples wanted.

    Returns:
        float32 [N].
    """
    window = hann(audio.n_fft)
    frames = np.fft.irfft(np.asarray(spectrum, np.complex64), audio.n_fft).astype(np.float32, copy=False)
    weight = _overlap_add(np.broadcast_to(window**2, frames.shape), audio.hop_length)
    out = np.zeros(length, np.float32)
    if len(frames):
        summed = _overlap_add(frames * window, audio.hop_length) / np.maximum(weight, 0.1 * weight.max())
        body = summed[audio.n_fft // 2 :][:length]
        out[: len(body)] = body
    return out


def log_mel(waveform: Array, audio: AudioConfig) -> Array:
    """Measure the level of each mel band in each frame.

    Equals `librosa.power_to_db(melspectrogram(power=2), ref=1, amin=1e-5, top_db=None)` without the last frame.

    Args:
        waveform: float [N] at `audio.sample_rate`.
        audio: frame sizes and mel bands.

    Returns:
        float32 [N // hop_length, M] in dB, never below `LOG_MEL_FLOOR`.
    """
    filters = _sparse_filters(audio)
    out = np.empty((len(waveform) // audio.hop_length, audio.n_mels), np.float32)
    start = 0
    for spectrum in _spectra(waveform, audio):
        power = (spectrum.real**2 + spectrum.imag**2) @ filters
        # In float32, the level of the floor's power is just below the floor.
        np.maximum(decibels(power), LOG_MEL_FLOOR, out=out[start : start + len(power)])
        start += len(power)
    return out


def _spectra(waveform: Array, audio: AudioConfig) -> Iterator[Array]:
    """Yield the frames of `stft` in blocks, complex64 [<= _BLOCK_FRAMES, F]."""
    count = len(waveform) // audio.hop_length
    window = hann(audio.n_fft)
    padded = np.pad(np.asarray(waveform, np.float32), audio.n_fft // 2)
    frames = sliding_window_view(padded, audio.n_fft)[:: audio.hop_length]
    for start in range(0, count, _BLOCK_FRAMES):
        yield np.fft.rfft(frames[start : min(start + _BLOCK_FRAMES, count)] * window)


def _let_numba_cache() -> None:
    """Give numba, which librosa starts, a folder of its own where it cannot write beside its code and would fail."""
    spec = importlib.util.find_spec("librosa")
    if spec is not None and spec.origin is not None and not os.access(os.path.dirname(spec.origin), os.W_OK):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_dir() / "numba"))


@lru_cache(maxsize=8)
def _sparse_filters(audio: AudioConfig) -> scipy.sparse.csr_array:
    """Return the mel filters [F, M]; each bin is in two at most, where a dense product would wait for BLAS."""
    return scipy.sparse.csr_array(np.ascontiguousarray(mel_filters(audio).T))


def _overlap_add(frames: Array, hop: int) -> Array:
    """Sum frames [T, L], each `hop` samples after the one before, into one waveform."""
    count, length = frames.shape
    pieces = -(-length // hop)
    padded = np.pad(frames, ((0, 0), (0, pieces * hop - length))).reshape(count, pieces, hop)
    out = np.zeros((count + pieces - 1, hop), np.float32)
    for piece in range(pieces):
        out[piece : piece + count] += padded[:, piece]
    return out.reshape(-1)
