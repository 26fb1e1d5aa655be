"""Follow the beat: the pulses that a song may be heard in, each with its beats."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from gst_jax.band.features import FPS
from gst_jax.types import Array

SLOWEST, FASTEST = 54.0, 212.0  # beats a minute
USUAL = 115.0
HEARD = 1.0  # onset, in deviations, that the first and the last beat must have

_SURROUNDINGS = 4.0  # seconds within which an onset is compared to others
_WINDOW = 12.0  # seconds over which a tempo is taken as steady, to guess at it
_MULTIPLES = ((1, 1.0), (2, 0.7), (3, 0.4), (4, 0.5))  # of a period, and what an echo of the song there counts
_GUESSES = 4
_RELATED = (0.5, 2 / 3, 1.5, 2.0)  # periods that the best guess is often mistaken for
_APART = 0.06  # log ratio of two guesses that are worth following both
_LIBERTIES = ((0.2, 600.0), (0.08, 6000.0))  # of a player, of a machine: how far the time between beats strays from
# the guess, as a share, and the cost of a change from a beat to the next, by its squared log ratio
_JOLT = 60.0  # the most that such a change costs
_REACH = 0.045  # seconds around a beat where its onset is looked for
_SMOOTHED = 4  # beats on either side along which a beat is smoothed

_SLACK = 0.15  # of a beat that may lie outside the song
_LAG = 0.004  # seconds from an onset to the steepest rise of the level


@dataclass(frozen=True)
class Pulse:
    """Beats at a tempo that changes little, from the start of the song to its end."""

    times: Array  # seconds, rising, float64 [B]

    @property
    def tempo(self) -> float:
        """Return the middle tempo in beats a minute."""
        return 60.0 / float(np.median(np.diff(self.times)))


def stand_out(onsets: Array) -> Array:
    """Return onsets [T] against their surroundings, whatever the level: mean about 0, deviation about 1."""
    smooth = gaussian_filter1d(np.asarray(onsets, np.float64), 1.0)
    width = _SURROUNDINGS * FPS
    excess = smooth - gaussian_filter1d(smooth, width, mode="nearest")
    spread = np.sqrt(gaussian_filter1d(excess**2, width, mode="nearest"))
    return excess / np.maximum(spread, 0.1 * spread.max(initial=0.0) + 1e-9)


def find_pulses(curve: Array, seconds: float) -> list[Pulse]:
    """Follow every tempo that a song may have, on the strongest onsets and half way between them.

    Args:
        curve: onsets that stand out [T].
        seconds: the song's length.
    """
    found: list[Pulse] = []
    followed: list[Array] = []
    for period, (bend, stiffness) in itertools.product(_periods(curve), _LIBERTIES):
        frames = _follow(curve, period, bend, stiffness)
        if len(frames) > _SMOOTHED and not any(np.array_equal(frames, other) for other in followed):
            followed.append(frames)
            between = (frames[:-1] + frames[1:]) // 2
            found += [Pulse(_extended(_refined(curve, part), seconds)) for part in (frames, between)]
    return found


def _periods(curve: Array) -> list[float]:
    """Guess at the time between beats, in frames: where the curve resembles itself that much later."""
    echo = gaussian_filter1d(_autocorrelation(curve), 1.0)
    shortest, longest = 60.0 / FASTEST * FPS, 60.0 / SLOWEST * FPS
    periods = np.exp(np.arange(np.log(shortest), np.log(longest), 0.005))
    score = sum(weight * np.interp(periods * number, np.arange(len(echo)), echo) for number, weight in _MULTIPLES)
    score = score * np.exp(-0.5 * (np.log2(60.0 * FPS / periods / USUAL) / 0.7) ** 2)
    peaks = np.flatnonzero((score[1:-1] > score[:-2]) & (score[1:-1] >= score[2:])) + 1
    guesses = [float(period) for period in periods[peaks[np.argsort(-score[peaks])][:_GUESSES]]]
    guesses += [guess * ratio for guess in guesses[:1] for ratio in _RELATED]
    kept: list[float] = []
    for guess in guesses:
        apart = all(abs(np.log(guess / other)) > _APART for other in kept)
        if apart and shortest <= guess <= longest:
            kept.append(guess)
    return kept


def _autocorrelation(curve: Array) -> Array:
    """Return the mean autocorrelation over windows of some seconds, 1 at lag 0: float64 [lags]."""
    size = int(_WINDOW * FPS)
    window = np.hanning(size)
    padded = np.pad(curve, (0, max(size - len(curve), 0)))
    total = np.zeros(size)
    for start in range(0, len(padded) - size + 1, size // 4):
        total += _own_product(padded[start : start + size] * window)
    total /= np.maximum(_own_product(window), 0.05 * float(np.sum(window**2)))
    return total / max(float(total[0]), 1e-9)


def _own_product(piece: Array) -> Array:
    return np.fft.irfft(np.abs(np.fft.rfft(piece, 2 * len(piece))) ** 2)[: len(piece)]


def _follow(curve: Array, period: float, bend: float, stiffness: float) -> Array:
    """Find the beats near a period, in frames, that fall on the strongest onsets while the tempo changes little.

    The state is a beat at a frame, an interval after the last; dynamic programming finds the best path. No interval
    is shorter than the shortest, so that as many frames are done at once.

    Returns:
        int [B].
    """
    intervals = np.arange(int(period * (1 - bend)), int(np.ceil(period * (1 + bend))) + 1)
    shortest, longest = int(intervals[0]), int(intervals[-1])
    cost = np.minimum(stiffness * np.log(intervals[:, None] / intervals) ** 2, _JOLT)
    end = longest + len(curve)
    best = np.zeros((end, len(intervals)))  # frames before the song come first: a path may start in any of them
    before = np.zeros((end, len(intervals)), np.int16)
    for start in range(longest, end, shortest):
        frames = np.arange(start, min(start + shortest, end))
        reached = best[frames[:, None] - intervals] - cost  # [frame, interval, interval before]
        before[frames] = reached.argmax(axis=2)
        best[frames] = reached.max(axis=2) + curve[frames - longest, None]
    last = best[-longest:]
    frame, state = (int(place) for place in np.unravel_index(last.argmax(), last.shape))
    frame += end - longest
    beats = []
    while frame >= longest:
        beats.append(frame - longest)
        frame, state = frame - int(intervals[state]), int(before[frame, state])
    found = np.array(beats[::-1], int)
    heard = np.flatnonzero(curve[found] > HEARD) if len(found) else found
    return found[heard[0] : heard[-1] + 1] if len(heard) else heard  # not into silence, where nothing guides it


def _refined(curve: Array, frames: Array) -> Array:
    """Place beats within milliseconds: each where its onset is steepest, then smoothed along its neighbours.

    Returns:
        Seconds, float64 [B].
    """
    reach = int(_REACH * FPS)
    around = curve[np.clip(frames[:, None] + np.arange(-reach - 1, reach + 2), 0, len(curve) - 1)]
    rows, top = np.arange(len(frames)), around[:, 1:-1].argmax(axis=1) + 1
    left, peak, right = (around[rows, top + step] for step in (-1, 0, 1))
    bend = left - 2 * peak + right
    is_peak = (peak >= left) & (peak >= right) & (peak > 0) & (bend < 0)
    offset = top - 1 - reach + 0.5 * (left - right) / np.where(is_peak, bend, 1.0)
    places = frames + np.where(is_peak, offset, 0.0)
    trust = 0.05 + np.where(is_peak, np.minimum(peak, 3.0), 0.0)
    return _smoothed(places, trust) / FPS - _LAG


def _smoothed(places: Array, trust: Array) -> Array:
    """Fit a parabola through each beat's neighbours and itself: a tempo that changes evenly. [B] -> [B]."""
    smooth = np.empty(len(places))
    for beat in range(len(places)):
        near = np.arange(max(beat - _SMOOTHED, 0), min(beat + _SMOOTHED + 1, len(places)))
        steps = (near - beat) / (_SMOOTHED + 1)
        weight = np.sqrt(trust[near] * (1 - steps**2))
        powers = steps[:, None] ** np.arange(3) * weight[:, None]
        smooth[beat] = np.linalg.lstsq(powers, places[near] * weight, rcond=None)[0][0]
    return smooth


def _extended(times: Array, seconds: float) -> Array:
    """Carry beats on at their first and last tempo to the ends of the song, which may be cut a little short."""
    first, last = (float(np.median(np.diff(part))) for part in (times[: _SMOOTHED + 1], times[-_SMOOTHED - 1 :]))
    before = times[0] - first * np.arange(int(times[0] / first + _SLACK), 0, -1)
    after = times[-1] + last * np.arange(1, int((seconds - times[-1]) / last + _SLACK) + 1)
    return np.clip(np.concatenate([before, times, after]), 0.0, seconds)
