"""Choose which bars of other recordings go with each two bars of a song.

The costs are those of a mash-up (Davies et al. 2014, "AutoMashUpper": harmony over transpositions, rhythm, spectral
balance); the path through them is found by dynamic programming.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from gst_jax.band.features import BANDS
from gst_jax.band.lead_sheet import STEPS, LeadSheet
from gst_jax.band.recordings import Recording
from gst_jax.types import Array

UNIT = 2  # bars of the song that are chosen for at a time
PASSAGE = 4  # units: no more are taken of one place of a recording in a row
SLOWEST, FASTEST = 0.85, 1.18  # times the recording's own pace
FARTHEST = 5.0  # semitones that the bass is shifted, at most

_MULTIPLES = (0.5, 1, 2)  # beats of a recording to a beat of the song: it may count half or twice as fast
# Weights of the costs, each of which lies in 0 to 1:
_HARMONY, _RHYTHM, _BALANCE = 1.0, 0.5, 0.3
_PACE, _SHIFT, _METER = 0.15, 0.2, 0.3  # by how far it is stretched, and the bass shifted; where the meter is another
_JOIN = 0.5
_BASS = 2.0  # of the song's bass beside all its notes, where a borrowed bass has to fit
_UNLIKE = 20.0  # dB of difference in balance that is as bad as any


@dataclass(frozen=True)
class Choice:
    """A place in a recording, for two bars of the song."""

    recording: Recording
    start: int  # its first beat
    beats: int
    semitones: int  # by how much its pitch classes rise

    def goes_on_with(self, other: Choice) -> bool:
        """Tell whether another one begins where this one ends, and is played alike."""
        there = Choice(self.recording, self.start + self.beats, self.beats, self.semitones)
        return other == there


@dataclass(frozen=True)
class Units:
    """The places of all recordings that two bars of a song may be taken from."""

    recording: Array  # numbers of recordings, int [U]
    start: Array  # beats, int [U]
    beats: Array  # int [U]
    following: Array  # the unit that goes on where this one ends, or -1, int [U]
    seconds: Array  # float64 [U]
    harmony: Array  # shares of the bass's pitch classes in each of the two bars, [U, 2, 12]
    rhythm: Array  # of mean 0 and length 1, [U, S], S = steps of two bars
    balance: Array  # dB, [U, 2, BANDS]
    other_meter: Array  # bool [U]

    def choice(self, state: int, recordings: Sequence[Recording]) -> Choice:
        """Return the choice of a state: a unit times twelve, and a transposition."""
        unit, semitones = divmod(state, 12)
        recording = recordings[int(self.recording[unit])]
        return Choice(recording, int(self.start[unit]), int(self.beats[unit]), semitones)


def choose(sheet: LeadSheet, recordings: Sequence[Recording]) -> list[Choice | None]:
    """Choose for each two bars of a song; nothing where no recording comes near its pace.

    Args:
        sheet: the song.
        recordings: from `recordings.hear`.

    Returns:
        A choice for bars 0 and 1, for 2 and 3, and so on; of an odd last bar, the first half is meant.
    """
    units = find_units(recordings, sheet.meter)
    places = range(-(-sheet.bars // UNIT))
    if not len(units.start):
        return [None for _ in places]
    costs = (cost(sheet, place, units, recordings) for place in places)
    return [None if state is None else units.choice(state, recordings) for state in _path(costs, units.following)]


def why_silent(sheet: LeadSheet, recordings: Sequence[Recording]) -> str | None:
    """Say in a sentence why there is nothing to choose from, or nothing where there is."""
    units = find_units(recordings, sheet.meter)
    pace = units.seconds / (UNIT * float(np.median(np.diff(sheet.beats[:: sheet.meter]))))
    if np.any((pace >= SLOWEST) & (pace <= FASTEST)):
        return None
    return "No recording to borrow bars from comes near the song's pace, so the band stays silent."


def find_units(recordings: Sequence[Recording], meter: int) -> Units:
    """List the places that two bars of so many beats may be taken from: they begin with a bar."""
    rows: list[tuple[Any, ...]] = []
    for number, recording in enumerate(recordings):
        for multiple in _MULTIPLES:
            beats = int(UNIT * meter * multiple)
            starts = range(0, len(recording.beats) - beats, recording.meter)
            first = len(rows)
            for start in starts:
                there = start + beats
                following = first + starts.index(there) if there in starts else -1
                rows.append((number, start, beats, following, *_heard(recording, start, beats, meter)))
    columns = zip(*rows, strict=True) if rows else [()] * len(fields(Units))
    return Units(*(np.array(column) for column in columns))


def _heard(recording: Recording, start: int, beats: int, meter: int) -> tuple[float, Array, Array, Array, bool]:
    """Return what `Units` says of one: seconds, harmony, rhythm, balance, whether its meter is another."""
    places = STEPS * start + np.arange(UNIT * meter * STEPS) * beats // (UNIT * meter)
    steps = recording.steps
    seconds = float(recording.beats[start + beats] - recording.beats[start])
    harmony = _shares(steps.bass[places].reshape(UNIT, -1, 12).sum(axis=1))
    return (
        seconds,
        harmony,
        _pattern(steps.onsets[places]),
        steps.balance[places].reshape(UNIT, -1, BANDS).mean(axis=1),
        recording.meter != meter,
    )


def cost(sheet: LeadSheet, place: int, units: Units, recordings: Sequence[Recording]) -> Array:
    """Return how badly each unit fits a place at each transposition: [U * 12], infinite where it is too far off."""
    count = UNIT * sheet.meter
    lines = sheet.beats[np.minimum(np.arange(place * count, place * count + count + 1), len(sheet.beats) - 1)]
    bars = min(UNIT, sheet.bars - UNIT * place)
    # An odd last bar is compared as if it came twice.
    steps = STEPS * (count * place + np.arange(count) % (bars * sheet.meter))[:, None] + np.arange(STEPS)
    heard, steps = sheet.steps, steps.ravel()
    notes, bass = (part[steps].reshape(UNIT, -1, 12).sum(axis=1) for part in (heard.notes, heard.bass))
    wanted = _shares(_shares(notes) + _BASS * _shares(bass))
    lifted = np.stack([np.roll(wanted, -semitones, axis=1) for semitones in range(12)])
    harmony = 1 - units.harmony.reshape(-1, UNIT * 12) @ lifted.reshape(12, -1).T / UNIT
    rhythm = (1 - units.rhythm @ _pattern(heard.onsets[steps])) / 2
    off = np.abs(units.balance - heard.balance[steps].reshape(UNIT, -1, BANDS).mean(axis=1)).mean(axis=(1, 2))
    pace = units.seconds / ((lines[-1] - lines[0]) * UNIT / bars)
    alone = _RHYTHM * rhythm + _BALANCE * np.minimum(off / _UNLIKE, 1) + _METER * units.other_meter
    alone += _PACE * np.abs(np.log(pace)) / np.log(FASTEST)
    tunings = np.array([recording.tuning for recording in recordings])[units.recording]
    shift = np.abs(bass_shift(np.arange(12), pace[:, None], sheet.tuning - tunings[:, None]))
    total = _HARMONY * harmony + _SHIFT * shift / FARTHEST + alone[:, None]
    total[(pace < SLOWEST) | (pace > FASTEST)] = np.inf
    total[shift > FARTHEST] = np.inf
    return total.ravel()


def bass_shift(semitones: Array, pace: Array, cents: Array | float) -> Array:
    """Return the semitones, -6 to 6, that put a bass where it is wanted, whatever the octave, once played at a pace.

    Args:
        semitones: by how much its pitch classes are to rise.
        pace: as a share of the recording's; as on a tape, faster is higher.
        cents: of the song's tuning above the recording's.
    """
    return (semitones + cents / 100 - 12 * np.log2(pace) + 6) % 12 - 6


def _path(costs: Iterable[Array], following: Array) -> list[int | None]:
    """Find the states, units times transpositions, of least cost, with joins: Viterbi search.

    A recording that goes on costs no join, but may not at the end of a passage.
    """
    goes_on = np.flatnonzero(following >= 0)
    before = (12 * goes_on[:, None] + np.arange(12)).ravel()  # states that may go on, and what they go on to
    after = (12 * following[goes_on][:, None] + np.arange(12)).ravel()
    came_from = np.full(12 * len(following), -1)
    came_from[after] = before
    total, back = np.zeros(12 * len(following)), []
    for place, here in enumerate(costs):
        best = int(total.argmin())
        second = int(np.where(np.arange(len(total)) == best, np.inf, total).argmin())
        ended = place % PASSAGE == 0
        reached = np.where(ended & (came_from == best), total[second], total[best]) + _JOIN
        stay = np.where((came_from >= 0) & (not ended), total[came_from], np.inf)
        total = np.minimum(stay, reached)
        possible = bool(np.isfinite(total + here).any())
        back.append((best, second, stay <= reached, ended, possible))
        total += here if possible else 0.0
    state = int(np.argmin(total))
    states: list[int | None] = []
    for best, second, stayed, ended, possible in reversed(back):
        states.append(state if possible else None)
        joined = second if ended and came_from[state] == best else best
        state = int(came_from[state]) if stayed[state] else joined
    return states[::-1]


def _pattern(onsets: Array) -> Array:
    """Return onsets [S] with mean 0 and length 1."""
    pattern = onsets - onsets.mean()
    return pattern / max(float(np.linalg.norm(pattern)), 1e-9)


def _shares(chroma: Array) -> Array:
    """Return pitch classes [n, 12] as shares of length 1: their product is the cosine."""
    return chroma / np.maximum(np.linalg.norm(chroma, axis=1, keepdims=True), 1e-9)
