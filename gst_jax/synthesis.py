"""Turn a converted log-mel into sound that keeps the source recording's phase, pitch, treble or stereo image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import uniform_filter1d
from scipy.sparse import csr_array

from gst_jax.audio import LOG_MEL_FLOOR, mel_filters
from gst_jax.config import AudioConfig

Array = np.ndarray[Any, np.dtype[Any]]

MAX_GAIN = 30.0  # dB that the gain may lift or lower a band
MAX_TREBLE_GAIN = 12.0  # dB, above the highest mel band, where the gain is only a guess
MAX_LIFT = 20.0  # dB that a whole frame may grow: a fading tail does not become music
OVERLAP = 4  # windows over each sample
_TREBLE_BANDS = 4  # the highest mel bands, whose mean gain holds above them
_MEL_ITERATIONS = 8
_FILL = 0.06  # of a band's power is spread evenly over its bins ...
_FULL_FILL = 10.0  # dB ... where it changes by this or more; in proportion below, so that no change is no change
_MOMENTUM = 0.99  # Perraudin, Balazs & Sondergaard 2013, "A fast Griffin-Lim algorithm"
_ATTACK_SHARE = 16  # of a window: 4 ms, in which an attack is over
_ATTACK_SLACK = 4.0  # times the energy: noise of another phase may differ by that
_GUARD = 16  # bins above the mel bands that keep the cut off the phase below
_TINY = 1e-10


@dataclass(frozen=True)
class _Resynthesis:
    """How a route makes a spectrum that the source does not have."""

    keep: float  # share of the filtered source's power in the first guess, beside a little spread over each band
    phase_iterations: int  # of fast Griffin-Lim from the source's phase


_ROUTES = {
    "mixture": _Resynthesis(keep=1.0, phase_iterations=2),
    "gain": None,
    "griffin_lim": _Resynthesis(keep=0.0, phase_iterations=16),
}
ROUTES = tuple(_ROUTES)
DEFAULT_ROUTE = "mixture"


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

    Every route filters the source's spectrum with the smooth time-varying difference of the two log-mels, at the
    source's own sample rate, the same for all channels; equal log-mels give the source back. `gain` stops there:
    phase, pitch, attacks or stereo image stay, and new partials cannot appear. `mixture` also spreads new power over
    each band in the measure that it changes, fits the mel bands exactly, then lets two steps of fast Griffin-Lim
    move the source's phase: closer to the target, less of the source. `griffin_lim` keeps of the source only where
    its phase began. Above the mel bands all of them hold the gain of the highest.

    Args:
        source: float32 [N, C].
        sample_rate: of the source, Hz.
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
    position = _frame_positions(spectrum.shape[1], n_fft, sample_rate, audio, start)
    before, after = _at(position, source_log_mel), _at(position, _plausible(source_log_mel, target_log_mel))
    gain = _over_frequency(_bounded(before, after), sample_rate, n_fft, audio)
    filtered = spectrum * np.exp(gain * np.float32(math.log(10.0) / 20.0))
    out = istft(filtered, n_fft, len(source))
    how = _ROUTES[route]
    if how is not None:
        bands = _Bands(sample_rate, n_fft, audio)
        power = _fitted_power(spectrum, filtered, before, after, bands, how.keep)
        _replace_bands(filtered, np.sqrt(power), bands, how.phase_iterations)
        out = _without_pre_echo(istft(filtered, n_fft, len(source)), out, n_fft)
    return out.T


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


def _plausible(source: Array, target: Array) -> Array:
    """Return the target [T, M] no louder than the source's frames allow; silence stays silence."""
    excess = np.maximum(_level(target) - _level(source) - MAX_LIFT, 0.0)
    silent = source.max(axis=1, keepdims=True) <= LOG_MEL_FLOOR
    return np.where(silent, LOG_MEL_FLOOR, target - excess)


def _level(log_mel: Array) -> Array:
    """Return the level of all bands together: [T, M] dB -> [T, 1] dB."""
    return 10.0 * np.log10(_powers(log_mel).sum(axis=1, keepdims=True))


def _bounded(source: Array, target: Array) -> Array:
    """Return target - source [T, M] in dB, never lifting a level further than it stands above the floor."""
    return np.clip(target - source, -MAX_GAIN, np.clip(source - LOG_MEL_FLOOR, 0.0, MAX_GAIN))


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


@dataclass(frozen=True)
class _Bands:
    """The mel bands on the bins of a transform at any sample rate."""

    sample_rate: int
    n_fft: int
    audio: AudioConfig

    @property
    def count(self) -> int:
        """Bins up to the end of the highest mel band."""
        return _spread(self.sample_rate, self.n_fft, self.audio)[2]

    def measure(self, power: Array) -> Array:
        """Sum the power of bins in mel bands, as the analysis would: [C, T', count] -> [C, T', M]."""
        return _apply(power, _filters(self.sample_rate, self.n_fft, self.audio)[0])

    def spread(self, bands: Array) -> Array:
        """Return for each bin the mean of its bands, weighted: [C, T', M] -> [C, T', count]."""
        return _apply(bands, _filters(self.sample_rate, self.n_fft, self.audio)[1])


@lru_cache(maxsize=8)
def _filters(sample_rate: int, n_fft: int, audio: AudioConfig) -> tuple[csr_array, csr_array]:
    """Return the filters [count, M] next to those with bins that sum to 1, transposed [M, count]."""
    count = _spread(sample_rate, n_fft, audio)[2]
    bins, own_bins = (
        np.fft.rfftfreq(n, 1 / rate) for n, rate in ((n_fft, sample_rate), (audio.n_fft, audio.sample_rate))
    )
    filters = np.stack([np.interp(bins[:count], own_bins, row) for row in mel_filters(audio)]).astype(np.float32)
    scale = np.float32((audio.n_fft / n_fft) ** 2)  # power grows with the square of the window's length
    shares = filters.copy()
    for edge in (0, -1):  # the outermost bins may be in no filter, and follow the nearest
        shares[edge, edge] += not shares[:, edge].any()
    shares /= shares.sum(axis=0)
    return csr_array(np.ascontiguousarray(filters.T) * scale), csr_array(shares)


def _apply(rows: Array, matrix: csr_array) -> Array:
    flat = rows.reshape(-1, rows.shape[-1]) @ matrix
    return flat.reshape(*rows.shape[:-1], matrix.shape[1])


def _fitted_power(source: Array, filtered: Array, before: Array, after: Array, bands: _Bands, keep: float) -> Array:
    """Return the power whose mel bands have changed as asked, in each channel from where it was.

    Args:
        source: complex64 [C, T', F'].
        filtered: the same after the bounded gain.
        before: [T', M] dB, log-mel of the source's mono mix.
        after: [T', M] dB, to be reached.
        bands: of the transform.
        keep: as in `_Resynthesis`.

    Returns:
        float32 [C, T', bands.count].
    """
    own = bands.measure(_power(source[..., : bands.count]))
    # A band that the analysis calls empty may be filled up from its floor, in a channel as far as that has sound.
    present = np.minimum(own.sum(axis=-1, keepdims=True) / _powers(before).sum(axis=-1, keepdims=True), 1.0)
    missing = np.maximum(present * np.float32(10.0 ** (LOG_MEL_FLOOR / 10.0)) - own, 0.0)
    wanted = np.maximum((own + missing) * _powers(after - before) - missing, 0.0)
    fresh = np.minimum(np.abs(after - before) / _FULL_FILL, 1.0) if keep else np.ones_like(after)
    size = np.maximum(bands.measure(np.ones((1, 1, bands.count), np.float32)), _TINY)  # above half the rate it is 0
    power = np.float32(keep) * _power(filtered[..., : bands.count])
    power += bands.spread(wanted * fresh * np.float32(_FILL) / size)
    for _ in range(_MEL_ITERATIONS):  # Richardson-Lucy: keeps the fine structure of the guess, fits the mel bands
        power *= bands.spread(wanted / np.maximum(bands.measure(power), _TINY))
    return power


def _replace_bands(spectrum: Array, magnitude: Array, bands: _Bands, iterations: int) -> None:
    """Give the bins of the mel bands a magnitude [C, T', count] and a phase that fits it, starting from their own.

    The bins up to there are the whole spectrum of a transform at a lower sample rate, where the iterations are cheap.
    """
    enough = -(-(bands.count + _GUARD) // (OVERLAP // 2))
    hop = min(scipy.fft.next_fast_len(enough, real=True), bands.n_fft // OVERLAP)
    n_fft = OVERLAP * hop
    low = spectrum[..., : n_fft // 2 + 1].copy()
    rest = np.abs(low[..., bands.count :])
    magnitude = np.concatenate([magnitude, rest], axis=-1)
    length = (magnitude.shape[1] - OVERLAP + 1) * hop
    low = magnitude * _unit(low)
    previous = low
    for _ in range(iterations):
        rebuilt = stft(istft(low, n_fft, length), n_fft)
        low = magnitude * _unit(rebuilt + np.float32(_MOMENTUM) * (rebuilt - previous))
        previous = rebuilt
    spectrum[..., : bands.count] = low[..., : bands.count]


def _without_pre_echo(waveform: Array, sharp: Array, n_fft: int) -> Array:
    """Take away what a new phase smears in front of attacks.

    Within a window, the energy follows that of the filtered source, whose phase is whole, give or take a few dB.

    Args:
        waveform: float32 [C, N], with the right energy window by window.
        sharp: float32 [C, N], with the right attacks.
        n_fft: samples in a window.

    Returns:
        float32 [C, N].
    """
    (brief, whole), (sharp_brief, sharp_whole) = (
        [np.maximum(uniform_filter1d(np.square(wave), size), 0.0) for size in (n_fft // _ATTACK_SHARE, n_fft)]
        for wave in (waveform, sharp)
    )
    allowed = _ATTACK_SLACK * sharp_brief * whole
    return waveform * np.sqrt(np.minimum((allowed + _TINY**2) / (brief * sharp_whole + _TINY**2), 1.0))


def _powers(log_mel: Array) -> Array:
    """Return 10 ** (dB / 10)."""
    return np.exp(log_mel * np.float32(math.log(10.0) / 10.0))


def _power(spectrum: Array) -> Array:
    return spectrum.real**2 + spectrum.imag**2


def _unit(spectrum: Array) -> Array:
    return spectrum * (1.0 / np.maximum(np.abs(spectrum), np.float32(_TINY)))


@lru_cache(maxsize=16)
def _window(length: int) -> Array:
    """Return the periodic Hann window, float32 [length], read-only."""
    window = (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)).astype(np.float32)
    window.flags.writeable = False
    return window
