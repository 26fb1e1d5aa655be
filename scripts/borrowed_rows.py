"""The rows of a band that borrows bars: the right ones, random ones, whole ones; what fits, and what is copied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gst_jax.band import borrowing, choosing
from gst_jax.band.choosing import Choice
from gst_jax.band.lead_sheet import LeadSheet
from gst_jax.band.recordings import Recording
from gst_jax.conversion.accompaniment import Band
from gst_jax.evaluation.metrics import content
from gst_jax.evaluation.metrics.transcription import LOWEST, transcribe

ALONE, RIGHT, LOUD, RANDOM = "untouched input", "song with borrowed bars", "the same, twice as loud", "random bars"
CONVERTED = "conversion"
ROWS = (ALONE, RIGHT, LOUD, RANDOM, CONVERTED, "conversion with borrowed bars", "conversion with random bars")
SHARED = ("chroma", "chord", "beat")
MIDDLE = 56 - LOWEST  # the first pitch above 200 Hz


class RandomBand(Band):
    """A band that takes any bars within the limits of pace and transposition."""

    def play(self, sheet: LeadSheet, sample_rate: int, length: int) -> Iterator[np.ndarray]:
        """Play alone, as `Band.play` does."""
        return borrowing.perform(sheet, random_bars(sheet, self.recordings), sample_rate, length)


class WholeBand(Band):
    """A band that takes the right bars whole, with their lead."""

    def play(self, sheet: LeadSheet, sample_rate: int, length: int) -> Iterator[np.ndarray]:
        """Play alone, as `Band.play` does."""
        choices = choosing.choose(sheet, self.recordings)
        return borrowing.perform(sheet, choices, sample_rate, length, lambda stereo, rate, semitones: stereo)


def random_bars(sheet: LeadSheet, heard: Sequence[Recording]) -> list[Choice | None]:
    """Choose at random for each two bars of a song."""
    rng = np.random.default_rng(0)
    units = choosing.find_units(heard, sheet.meter)
    chosen: list[Choice | None] = []
    for place in range(-(-sheet.bars // choosing.UNIT)):
        possible = np.flatnonzero(np.isfinite(choosing.cost(sheet, place, units, heard)))
        chosen.append(units.choice(int(rng.choice(possible)), heard) if len(possible) else None)
    return chosen


def play(
    song: np.ndarray, converted: np.ndarray, sheet: LeadSheet, bands: Sequence[Band], rate: int
) -> dict[str, np.ndarray]:
    """Return what each row sounds like, [N] each."""
    right, random, _ = bands
    loud = Band(right.genre, 2.0, right.recordings)

    def along(band: Band, alone: np.ndarray) -> np.ndarray:
        return np.concatenate(list(band.along([alone[:, None]], sheet, rate)))[:, 0]

    with_bars = [along(band, song) for band in (right, loud, random)]
    return dict(
        zip(ROWS, [song, *with_bars, converted, along(right, converted), along(random, converted)], strict=True)
    )


def fit(
    song: np.ndarray, made: dict[str, np.ndarray], sheet: LeadSheet, bands: Sequence[Band], rate: int
) -> dict[str, float]:
    """Return what right and random bars share with the song, alone and with it, and how they are joined."""
    of_song, found = transcribe(song, rate), {}
    for row, band in ((RIGHT, bands[0]), (RANDOM, bands[1])):
        alone = np.concatenate(list(band.play(sheet, rate, len(song)))).mean(axis=1)
        for name, other in (("alone", alone), ("with the song", made[row])):
            agreement = content.agreement(of_song, transcribe(other, rate))
            found |= {f"{row}, {name}, {measure}": agreement[measure] for measure in SHARED}
    taken = list(borrowing.passages(sheet, choosing.choose(sheet, bands[0].recordings)))
    lengths = [passage.lines[-1] - passage.lines[0] for passage in taken]
    found["bars between joins"] = sum(len(passage.lines) - 1 for passage in taken) / len(taken)
    found["longest passage, seconds"] = max(lengths)
    return found


def copying(song: np.ndarray, mix: np.ndarray, sheet: LeadSheet, whole: Band, rate: int) -> dict[str, float]:
    """Return the share of the borrowed bars' own pitches, as a whole, that sounds in a mix."""
    lead = np.concatenate(list(whole.play(sheet, rate, len(song)))).mean(axis=1)
    with_lead = np.concatenate(list(whole.along([song[:, None]], sheet, rate)))[:, 0]
    sounding = transcribe(lead, rate).roll[:, MIDDLE:]
    rolls = {
        name: transcribe(wave, rate).roll[:, MIDDLE:]
        for name, wave in (("song alone", song), ("with what is borrowed", mix), ("with the whole bars", with_lead))
    }
    return {name: float(np.sum(roll & sounding) / max(int(np.sum(sounding)), 1)) for name, roll in rolls.items()}
