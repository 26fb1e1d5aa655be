"""The rows of the outside judge that have a band: playing along as it should, and in four wrong ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from gst_jax.band.hearing import why_silent
from gst_jax.band.lead_sheet import LeadSheet
from gst_jax.conversion import accompaniment
from gst_jax.conversion.accompaniment import Band

RIGHT, UNCONVERTED = "conversion with band", "song with band, unconverted"
TRITONE, LATE = "band a tritone off", "band half a bar late"
RANDOM, OTHER = "band of random bars", "another song's band"
WRONG = (TRITONE, LATE, RANDOM, OTHER)
METHODS = (RIGHT, UNCONVERTED, *WRONG)
SEED = 0


def make_methods(
    convert: Callable[[np.ndarray], np.ndarray], target: str, songs: Sequence[np.ndarray], rate: int
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Return each row's method, [N] -> [N] float32; a song that the band stays out of is left without it.

    Args:
        convert: the conversion alone.
        target: the band's genre.
        songs: float32 [N] each, that the methods will be asked for, in this order: another song is the next one.
        rate: Hz.
    """
    band = Band(target)
    sheets = [accompaniment.hear([song[:, None]], rate) for song in songs]
    changed = dict(zip((song.tobytes() for song in songs), changes(sheets), strict=True))
    alone = {song.tobytes(): convert(song) for song in songs}

    def method(row: str, converted: bool = True):
        def play(song: np.ndarray) -> np.ndarray:
            made = alone[song.tobytes()] if converted else song
            sheets = changed[song.tobytes()]
            if why_silent(sheets[RIGHT]):
                return made
            return np.concatenate(list(band.along([made[:, None]], sheets[row], rate)))[:, 0]

        return play

    return {row: method(row) for row in (RIGHT, *WRONG)} | {UNCONVERTED: method(RIGHT, converted=False)}


def changes(sheets: Sequence[LeadSheet]) -> list[dict[str, LeadSheet]]:
    """Return for each song what its band plays from, as it should and in each wrong way; another song is the next."""
    others = [*sheets[1:], *sheets[:1]]
    return [
        {
            RIGHT: sheet,
            TRITONE: dataclasses.replace(sheet, tonic=(sheet.tonic + 6) % 12),
            LATE: late(sheet),
            RANDOM: shuffled(sheet),
            OTHER: as_long(other, sheet) if other.bars else sheet,
        }
        for sheet, other in zip(sheets, others, strict=True)
    ]


def late(sheet: LeadSheet) -> LeadSheet:
    """Move a band by half a bar."""
    if not sheet.bars:
        return sheet
    return dataclasses.replace(sheet, beats=sheet.beats + sheet.meter / 2 * np.diff(sheet.beats).mean())


def shuffled(sheet: LeadSheet) -> LeadSheet:
    """Let a band play the song's chords, and its phrases, in any order."""
    rng = np.random.default_rng(SEED)
    chords = tuple(sheet.chords[bar] for bar in rng.permutation(sheet.bars))
    phrases = "".join(sheet.phrases[phrase] for phrase in rng.permutation(len(sheet.phrases)))
    return dataclasses.replace(sheet, chords=chords, phrases=phrases)


def as_long(other: LeadSheet, sheet: LeadSheet) -> LeadSheet:
    """Let a band play what another song asks for, at that song's own pace."""
    return dataclasses.replace(other, seconds=sheet.seconds)
