"""Read a file as a model hears it: mono, at the model's rate and level, whatever its length."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gst_jax import sound
from gst_jax.config import AudioConfig
from gst_jax.sound import loudness, streams
from gst_jax.types import Array


@dataclass(frozen=True)
class Recording:
    """A file's sound at the analysis's sample rate and at `loudness.REFERENCE`; the disk holds what is long."""

    audio: AudioConfig
    samples: streams.Spool  # before the gain, and perhaps one more or less than `length`
    length: int  # of the sound, in samples
    gain: float

    def read(self, first: int, last: int) -> Array:
        """Return some samples, float32 [last - first]."""
        part = self.samples.read(first, min(last, self.length))
        return np.float32(self.gain) * np.pad(part, (0, max(0, min(last, self.length) - first - len(part))))

    def blocks(self, size: int) -> Iterator[Array]:
        """Yield all samples in blocks of `size`, the last perhaps shorter."""
        for start in range(0, self.length, size):
            yield self.read(start, min(start + size, self.length))

    def log_mels(self) -> Iterator[Array]:
        """Yield the frames of `sound.log_mel` of the whole: dB [t, M], together length // hop_length."""
        left = self.length // self.audio.hop_length
        for frames in streams.log_mels(self.blocks(self.audio.sample_rate), self.audio):
            yield frames[:left]
            left -= len(frames[:left])


@contextmanager
def open_recording(
    path: Path, audio: AudioConfig, semitones: int = 0, seconds: float | None = None
) -> Iterator[Recording]:
    """Read a file.

    Args:
        path: of the file.
        audio: the analysis.
        semitones: how much higher, and so faster, it is played.
        seconds: of its start alone; None is all.

    Raises:
        AudioError: as `sound.read_wave`.
    """
    rate = sound.read_header(path).sample_rate
    # From the recording's own rate, so that a slower copy still reaches up to the highest band.
    played = round(rate * 2 ** (semitones / 12))
    count = 0

    def mono() -> Iterator[Array]:
        nonlocal count
        limit = None if seconds is None else round(seconds * rate)
        for block in streams.mixed(sound.read_blocks(path), rate):
            block = block[: None if limit is None else limit - count]
            count += len(block)
            yield block
            if count == limit:
                return

    with closing(streams.Spool()) as samples:
        for block in streams.resampled(mono(), played, audio.sample_rate):
            if len(block):
                samples.append(block)
        length = -(-count * audio.sample_rate // played)
        recording = Recording(audio, samples, length, gain=1.0)
        edges = loudness.gating_edges(length, audio.sample_rate)
        parts = (recording.read(first, last) for first, last in itertools.pairwise(edges))
        yield Recording(audio, samples, length, loudness.gain_to_reference(parts, audio.sample_rate))


def read_mono(path: Path, audio: AudioConfig, seconds: float | None = None) -> Array:
    """Read a file, or its first seconds, as a model hears it: float32 [N].

    Raises:
        AudioError: as `sound.read_wave`.
    """
    with open_recording(path, audio, seconds=seconds) as recording:
        return recording.read(0, recording.length)
