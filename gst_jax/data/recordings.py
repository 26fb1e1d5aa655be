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
    """The sound of a file, mono, at a model's sample rate and at `loudness.REFERENCE`; a long one is on disk."""

    audio: AudioConfig
    samples: streams.Spool  # before the gain; resampling may give one more or less than `length`
    length: int  # samples
    gain: float  # a factor

    def read(self, first: int, last: int) -> Array:
        """Return the samples from `first` to before `last`, float32 [last - first]."""
        part = self.samples.read(first, min(last, self.length))
        return np.float32(self.gain) * np.pad(part, (0, max(0, min(last, self.length) - first - len(part))))

    def blocks(self, size: int) -> Iterator[Array]:
        """Yield all samples in blocks, float32 [size], of which the last may be shorter."""
        for start in range(0, self.length, size):
            yield self.read(start, min(start + size, self.length))

    def log_mels(self) -> Iterator[Array]:
        """Yield the log-mel frames in pieces, dB [t, M], together length // hop_length: those of `sound.log_mel`."""
        left = self.length // self.audio.hop_length
        for frames in streams.log_mels(self.blocks(self.audio.sample_rate), self.audio):
            yield frames[:left]
            left -= len(frames[:left])


@contextmanager
def open_recording(
    path: Path, audio: AudioConfig, semitones: int = 0, seconds: float | None = None
) -> Iterator[Recording]:
    """Open a file as a `Recording`.

    Args:
        path: of the file.
        audio: the model's sample rate and frames.
        semitones: how much higher it shall sound; it is faster in proportion, like a tape.
        seconds: how much to read from its start; None is all.

    Raises:
        AudioError: as `sound.read_wave`.
    """
    rate = sound.read_header(path).sample_rate
    # From the recording's own rate, so that a slower copy still reaches up to the highest band.
    played = round(rate * 2 ** (semitones / 12))  # Hz
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
