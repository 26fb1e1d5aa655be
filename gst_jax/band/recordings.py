"""Hear the recordings of a genre, each once, for the bars that a band may borrow from them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from gst_jax import sound
from gst_jax.band import hearing
from gst_jax.band.features import RATE
from gst_jax.band.lead_sheet import Steps
from gst_jax.runs.atomic import replacing
from gst_jax.runs.directory import cache_dir
from gst_jax.sound import AudioError, streams
from gst_jax.types import Array, Progress

MOST = 40  # recordings that are heard of a genre, spread evenly over all
SECONDS = 240  # heard of each, from its start
_VERSION = 1  # raise it when the same recording would be heard otherwise


@dataclass(frozen=True, eq=False)
class Recording:
    """What a band needs to know of a recording to borrow bars from it."""

    path: Path
    beats: Array  # as in a `LeadSheet`; a single one where no steady beat was heard
    meter: int
    tuning: float  # cents
    level: float  # RMS of its loud bars
    steps: Steps


def hear(
    paths: Sequence[Path], genre: str, progress: Progress | None = None, *, skip_damaged: bool = False
) -> tuple[Recording, ...]:
    """Hear recordings, or remember what was heard of them: the cache directory keeps it, not the sound.

    Args:
        paths: of a genre; of more than `MOST`, so many are taken.
        genre: what they are called together.
        progress: called like `tqdm.tqdm` on what is heard; None is silent.
        skip_damaged: leave out files that cannot be read.

    Returns:
        Those with a steady beat.

    Raises:
        AudioError: when there is none, or a file cannot be read that is not to be left out.
    """
    taken = [paths[place] for place in np.unique(np.linspace(0, len(paths) - 1, min(MOST, len(paths))).astype(int))]
    kept = {path: _place(path) for path in taken}
    new = [path for path in taken if not kept[path].exists()]
    for path in new if progress is None or not new else progress(new, desc=f"hearing {genre}", unit="recording"):
        with contextlib.suppress(*[AudioError] if skip_damaged else []):
            _keep(kept[path], path)
    heard = [_remembered(kept[path], path) for path in taken if kept[path].exists()]
    steady = tuple(recording for recording in heard if len(recording.beats) > 1)
    if not steady:
        raise AudioError(
            f"no steady beat was heard in the {len(taken)} recordings of {genre}, so there are no bars to borrow; "
            "leave --band out, or add recordings with a beat"
        )
    return steady


def _place(path: Path) -> Path:
    """Return where what was heard of a file is kept: under another name once the file has changed."""
    status = path.stat()
    key = repr((str(path.resolve()), status.st_size, status.st_mtime_ns, SECONDS, _VERSION))
    return cache_dir() / "band" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"


def _keep(place: Path, path: Path) -> None:
    rate = sound.read_header(path).sample_rate
    mono = streams.resampled(streams.mixed(_start_of(path, rate), rate), rate, RATE)
    wave = np.concatenate(list(mono))
    sheet = hearing.hear(wave, RATE)
    steady = sheet.confidence.beats >= hearing.LEAST_BEATS
    place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            beats=sheet.beats if steady else sheet.beats[:1],
            meter=sheet.meter,
            tuning=sheet.tuning,
            level=_loud(wave),
            **{f"steps_{number}": part for number, part in enumerate(astuple(sheet.steps))},
        )


def _start_of(path: Path, rate: int) -> Iterator[Array]:
    left = SECONDS * rate
    for block in sound.read_blocks(path):
        yield block[:left]
        left -= len(block)
        if left <= 0:
            return


def _loud(wave: Array) -> float:
    """Return the RMS of the loud seconds of a wave [N], the 90th percentile."""
    seconds = np.add.reduceat(np.square(wave, dtype=np.float64), np.arange(0, len(wave), RATE)) / RATE
    return float(np.sqrt(np.percentile(seconds, 90)))


def _remembered(place: Path, path: Path) -> Recording:
    with np.load(place) as kept:
        return Recording(
            path=path,
            beats=kept["beats"],
            meter=int(kept["meter"]),
            tuning=float(kept["tuning"]),
            level=float(kept["level"]),
            steps=Steps(*(kept[f"steps_{number}"] for number in range(4))),
        )
