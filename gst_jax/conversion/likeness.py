"""Tell whether a song sounds like the genre that a model converts from."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from gst_jax.runs.directory import Statistics
from gst_jax.sound import AudioWarning, levels

_ENOUGH = 8 * levels.HALF_TOLD  # frames, sixteen seconds: of less there are too few notes
_CLEARLY = 0.1  # nats a band; `results/cautions.json` says how often that is right


@dataclass(frozen=True)
class Likeness:
    """The levels of a pair's genres, to hold a song against."""

    source: str  # the genre that the model converts from
    target: str
    source_levels: Statistics
    target_levels: Statistics

    def doubt(self, song: levels.Levels) -> str:
        """Return what to say of a song that is clearly nearer to the target genre, else nothing.

        Args:
            song: its levels at the level of all recordings, pauses left out.
        """
        if song.frames < _ENOUGH:
            return ""
        apart = {
            name: levels.divergence(song.mean, song.deviation, np.array(genre.mean), np.array(genre.deviation))
            for name, genre in ((self.source, self.source_levels), (self.target, self.target_levels))
        }
        if apart[self.source] - apart[self.target] <= _CLEARLY:
            return ""
        return f"it sounds more like {self.target} than {self.source}: expect less of its conversion"

    def warn(self, name: str, song: levels.Levels) -> None:
        """Give an AudioWarning where there is a doubt; `name` is the song's."""
        if doubt := self.doubt(song):
            warnings.warn(f"{name}: {doubt}", AudioWarning, stacklevel=2)
