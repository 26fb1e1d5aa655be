"""Turn a converted log-mel into sound that keeps the source recording's phase, pitch, treble and stereo image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
from scipy.ndimage import uniform_filter1d

from gst_jax.config import AudioConfig
from gst_jax.sound import LOG_MEL_FLOOR, treble
from gst_jax.sound import fine_structure as fine
from gst_jax.sound.analysis import powers
from gst_jax.sound.bands import Bands, make_bands
from gst_jax.sound.spectrum import OVERLAP, TINY, hop_length, istft, power_of, stft, unit
from gst_jax.types import Array

MAX_GAIN = 30.0  # dB that the gain may lift or lower a band
MAX_LIFT = 9.0  # dB that a whole frame may grow: a quiet intro stays quiet, a fading tail does not become music
_MEL_ITERATIONS = 8
_MOMENTUM = 0.99  # Perraudin, Balazs & Sondergaard 2013, "A fast Griffin-Lim algorithm"
_ATTACK_SHARE = 16  # of a window: 4 ms, in which an attack is over
_ATTACK_SLACK = 4.0  # times the energy: noise of another phase may differ by that
_GUARD = 16  # bins above the mel bands that keep the cut off the phase below


@dataclass(frozen=True)
class _Resynthesis:
    """How a route makes a spectrum that the source does not have."""

    new_from: float  # dB: a band that changes by this or more is made anew; blended in proportion below that
    phase_iterations: int  # of fast Griffin-Lim from the source's phase


_ROUTES = {
    "filled": _Resynthesis(new_from=3.0, phase_iterations=3),
    "gain": None,
    "griffin_lim": _Resynthesis(new_from=0.0, phase_iterations=16),
}
ROUTES = tuple(_ROUTES)
DEFAULT_ROUTE = "filled"


def synthesize(
    source: Array,
    sample_rate: int,
    source_log_mel: Array,
    target_log_mel: Array,
    audio: AudioConfig,
    fine_structure: Array,
    route: str = DEFAULT_ROUTE,
    start: float = 0.0,
) -> Array:
    """Render a sound that has the target's log-mel and, as far as the route can, the source's detail.

    Every route filters the source's spectrum with the smooth time-varying difference of the two log-mels, at the
    source's own sample rate, the same for all channels; equal log-mels give the source back. `gain` stops there:
    phase, pitch, attacks and stereo image stay, and new partials cannot appear. `filled` fills the bands that change
    as the target genre fills them, fits the mel bands exactly, then lets three steps of fast Griffin-Lim move the
    source's phase: closer to the target, less of the source. `griffin_lim` keeps of the source only where its phase
    began. Above the mel bands all of them give the source the treble of the target genre, where its fine structure
    knows that; else they hold the gain of the highest.

    Args:
        source: float32 [N, C].
        sample_rate: of the source, Hz.
        source_log_mel: [T, M] dB, of the source's mono mix at `audio.sample_rate`.
        target_log_mel: [T, M] dB.
        audio: how the log-mels were made.
        fine_structure: of the target genre, from `fine_structure.Fit`.
        route: one of `ROUTES`.
        start: seconds from the first sample to the centre of the first frame.

    Returns:
        float32 [N, C].

    Raises:
        ValueError: when there is no such route.
    """
    check_route(route)
    n_fft = OVERLAP * hop_length(sample_rate, audio)
    bands = make_bands(sample_rate, n_fft, audio)
    spectrum = stft(source.T, n_fft)  # [C, T', F']
    position = _frame_positions(spectrum.shape[1], n_fft, sample_rate, audio, start)
    before, after = _at(position, source_log_mel), _at(position, _plausible(source_log_mel, target_log_mel))
    gain = bands.interpolate(_bounded(before, after))
    above = treble.learned(fine_structure, sample_rate, n_fft, audio)
    if above is not None:
        gain[:, bands.count :], lack = above.change(spectrum, before, after)
    filtered = spectrum * np.exp(gain * np.float32(math.log(10.0) / 20.0))
    out = istft(filtered, n_fft, len(source))
    how = _ROUTES[route]
    if how is not None:
        power = _fitted_power(spectrum, filtered, before, after, bands, fine_structure, audio, how.new_from)
        _replace_bands(filtered, np.sqrt(power), bands, n_fft, how.phase_iterations)
        if above is not None:
            above.fill(filtered, lack)
        out = _without_pre_echo(istft(filtered, n_fft, len(source)), out, n_fft)
    return out.T


def check_route(route: str) -> None:
    """Raise a ValueError unless there is such a route."""
    if route not in ROUTES:
        renamed = "; it is called filled now" if route == "mixture" else f"; there are {', '.join(ROUTES)}"
        raise ValueError(f"unknown route {route!r}{renamed}")


def _plausible(source: Array, target: Array) -> Array:
    """Return the target [T, M] no louder than the source's frames allow; silence stays silence."""
    excess = np.maximum(_level(target) - _level(source) - MAX_LIFT, 0.0)
    silent = source.max(axis=1, keepdims=True) <= LOG_MEL_FLOOR
    return np.where(silent, LOG_MEL_FLOOR, target - excess)


def _level(log_mel: Array) -> Array:
    """Return the level of all bands together: [T, M] dB -> [T, 1] dB."""
    return 10.0 * np.log10(powers(log_mel).sum(axis=1, keepdims=True))


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


def _fitted_power(
    source: Array,
    filtered: Array,
    before: Array,
    after: Array,
    bands: Bands,
    fine_structure: Array,
    audio: AudioConfig,
    new_from: float,
) -> Array:
    """Return the power whose mel bands have changed as asked, in each channel from where it was.

    Args:
        source: complex64 [C, T', F'].
        filtered: the same after the bounded gain.
        before: [T', M] dB, log-mel of the source's mono mix.
        after: [T', M] dB, to be reached.
        bands: of the transform.
        fine_structure: of the target genre.
        audio: of the analysis.
        new_from: as in `_Resynthesis`.

    Returns:
        float32 [C, T', bands.count].
    """
    own = bands.measure(power_of(source[..., : bands.count]))
    # A band that the analysis calls empty may be filled up from its floor, in a channel as far as that has sound.
    present = np.minimum(own.sum(axis=-1, keepdims=True) / powers(before).sum(axis=-1, keepdims=True), 1.0)
    missing = np.maximum(present * np.float32(10.0 ** (LOG_MEL_FLOOR / 10.0)) - own, 0.0)
    wanted = np.maximum((own + missing) * powers(after - before) - missing, 0.0)
    power = bands.scale * fine.fill(fine_structure, wanted, bands.frequencies, audio)
    if new_from > 0:
        change = np.minimum(np.abs(after - before) / np.float32(new_from), 1.0)
        new = np.minimum(bands.spread(change), 1.0)  # a mean of ones may round to more, and make a power negative
        power = new * power + (1 - new) * power_of(filtered[..., : bands.count])
    for _ in range(_MEL_ITERATIONS):  # Richardson-Lucy: keeps the fine structure of the guess, fits the mel bands
        power *= bands.spread(wanted / np.maximum(bands.measure(power), TINY))
    return power


def _replace_bands(spectrum: Array, magnitude: Array, bands: Bands, n_fft: int, iterations: int) -> None:
    """Give the bins of the mel bands another magnitude, with a phase that fits it, starting from their own.

    The bins up to there are the whole spectrum of a transform at a lower sample rate, where the iterations are cheap.

    Args:
        spectrum: complex64 [C, T', F'], changed in place.
        magnitude: float32 [C, T', bands.count].
        bands: of the transform.
        n_fft: of the transform.
        iterations: of fast Griffin-Lim.
    """
    enough = -(-(bands.count + _GUARD) // (OVERLAP // 2))
    hop = min(scipy.fft.next_fast_len(enough, real=True), n_fft // OVERLAP)
    n_low = OVERLAP * hop
    low = spectrum[..., : n_low // 2 + 1]
    magnitude = np.concatenate([magnitude, np.abs(low[..., bands.count :])], axis=-1)
    length = (magnitude.shape[1] - OVERLAP + 1) * hop
    low = magnitude * unit(low)
    previous = low
    for _ in range(iterations):
        rebuilt = stft(istft(low, n_low, length), n_low)
        low = magnitude * unit(rebuilt + np.float32(_MOMENTUM) * (rebuilt - previous))
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
    return waveform * np.sqrt(np.minimum((allowed + TINY**2) / (brief * sharp_whole + TINY**2), 1.0))
