"""Make room for a band in a song: its drums step back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import grey_opening, maximum_filter1d, uniform_filter1d

from gst_jax.sound import streams
from gst_jax.types import Array

_HOP = 0.0116  # seconds between spectra, about
_PART = 4.0  # seconds worked at a time, of which each margin is a small part
_OVERLAP = 4  # spectra that a sample lies in
_REACH = 0.35  # seconds to each side that a gain looks at
_HELD = 0.29  # seconds that a sound lasts in its frequency if it is no drum
_WAVERS = 4.0  # times its floor that a held sound's power may be
_MOST = -9.0  # dB by which drums go down
_THERE = 1e-4  # of the song's power: a band that is weaker does not play


def step_back(song: Iterable[Array], band: Iterable[Array], sample_rate: int, amount: float) -> Iterator[Array]:
    """Bring a song's drums down where a band plays: in each frequency, what is shorter than a note.

    Args:
        song: blocks float32 [n, C].
        band: blocks of the same shapes, as loud against the song as it will be.
        sample_rate: Hz.
        amount: 0 (the song as it is) to 1.

    Yields:
        float32 [n, C], together as long as the song.
    """
    hop = scipy.fft.next_fast_len(max(1, round(_HOP * sample_rate)), real=True)
    frame = _OVERLAP * hop
    margin = hop * round(_REACH / _HOP) + frame
    taper = np.sin(np.pi * (np.arange(frame, dtype=np.float32) + 0.5) / frame)
    both = (np.concatenate(pair, axis=1) for pair in zip(song, band, strict=True))
    windows = streams.windows(both, round(_PART / _HOP) * hop, margin, margin, "constant")

    def stepped(part: tuple[Array, int]) -> Array:
        window, fresh = part
        count = window.shape[1] // 2
        spectra = scipy.fft.rfft(sliding_window_view(window, frame, axis=0)[::hop] * taper)  # [T, 2 C, F]
        power = np.square(spectra.real) + np.square(spectra.imag)
        gain = _gain(power[:, :count].sum(axis=1), power[:, count:].sum(axis=1), amount)
        pieces = scipy.fft.irfft(gain[:, None] * spectra[:, :count], frame) * (2 / _OVERLAP * taper)
        total = np.zeros((count, len(window)), np.float32)
        for place, piece in enumerate(pieces):
            total[:, place * hop :][:, :frame] += piece
        return total.T[margin:][:fresh]

    for made in streams.mapped(stepped, windows, threads=2):
        if len(made):
            yield made


def _gain(ours: Array, theirs: Array, amount: float) -> Array:
    """Return what to multiply the song's spectra by, from the power of song and band: [T, F] each, to float32 [T, F].

    Opening (Serra, 1982) takes away what is shorter than `_HELD`, and leaves the onset of what lasts longer.
    """
    held = 2 * round(_HELD / _HOP / 2) + 1
    floor = np.minimum(_WAVERS * grey_opening(ours, (held, 1)), ours)
    down = np.maximum(np.sqrt((floor + 1e-12) / (ours + 1e-12)), 10 ** (_MOST / 20))
    playing = maximum_filter1d(theirs.sum(axis=1), held) > _THERE * maximum_filter1d(ours.sum(axis=1), held)
    edge = 2 * round((_REACH - _HELD) / _HOP) + 1
    return (down ** (amount * uniform_filter1d(playing.astype(np.float32), edge)[:, None])).astype(np.float32)
