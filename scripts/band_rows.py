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
TRITONE, LATE, OTHER = "band a tritone off", "band half a bar late", "another song's band"
WRONG = (TRITONE, LATE, OTHER)
METHODS = (RIGHT, UNCONVERTED, *WRONG)


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
    sheets = {song.tobytes(): accompaniment.hear([song[:, None]], rate) for song in songs}
    alone = {song.tobytes(): convert(song) for song in songs}
    others = dict(zip(sheets, [*list(sheets.values())[1:], *list(sheets.values())[:1]], strict=True))

    def method(change: Callable[[LeadSheet, bytes], LeadSheet], converted: bool = True):
        def play(song: np.ndarray) -> np.ndarray:
            sheet = sheets[song.tobytes()]
            made = alone[song.tobytes()] if converted else song
            if why_silent(sheet):
                return made
            changed = change(sheet, song.tobytes())
            return np.concatenate(list(band.along([made[:, None]], changed, rate)))[:, 0]

        return play

    return {
        RIGHT: method(lambda sheet, key: sheet),
        UNCONVERTED: method(lambda sheet, key: sheet, converted=False),
        TRITONE: method(lambda sheet, key: dataclasses.replace(sheet, tonic=(sheet.tonic + 6) % 12)),
        LATE: method(lambda sheet, key: late(sheet)),
        OTHER: method(lambda sheet, key: as_long(others[key], sheet) if others[key].bars else sheet),
    }


def late(sheet: LeadSheet) -> LeadSheet:
    """Move a band by half a bar."""
    return dataclasses.replace(sheet, beats=sheet.beats + sheet.meter / 2 * np.diff(sheet.beats).mean())


def as_long(other: LeadSheet, sheet: LeadSheet) -> LeadSheet:
    """Let a band play what another song asks for, at that song's own pace."""
    return dataclasses.replace(other, seconds=sheet.seconds)
