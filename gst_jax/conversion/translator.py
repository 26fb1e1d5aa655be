"""Convert sound of any length, sample rate and channel count with a trained generator."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from gst_jax import sound
from gst_jax.config import AudioConfig, ConfigError
from gst_jax.conversion import synthesis
from gst_jax.conversion.likeness import Likeness
from gst_jax.runs.directory import RunDirectory, Statistics
from gst_jax.runs.workers import cores
from gst_jax.sound import fine_structure, levels, loudness, spectrum, streams
from gst_jax.types import Array

FRESH = 392  # frames that the generator converts at a time, beside their context and the fade: one compilation
FADE = 32  # frames over which neighbouring windows are mixed
_CHUNK = 256  # hops of sound synthesised at a time
_MARGIN = 8  # hops around them, two windows
_THREADS = min(4, cores())  # that synthesise

_FAR_ABOVE = (
    16.0  # 12 dB: how much louder than the loudest seconds of the source the loudest of the conversion may be
)
_REMEDY = "the model does not suit this sound: train with other or more music, or try --strength=0.5"


class ConversionError(ValueError):
    """A generator made of a song what nobody should hear; the message says what to do."""


Read = Callable[[], Iterable[Array]]  # returns the blocks of a sound from the first on, float32 [n, C] each


@dataclass(frozen=True)
class Translator:
    """Everything that converts one genre into another; call it with a waveform."""

    audio: AudioConfig
    generator: Callable[[Array], Array]  # log-mels in dB [T, M] -> [T, M], always of as many frames as `window` says
    fine_structure: Array  # of the target genre, from `fine_structure.Fit`
    context: int = 40  # frames on each side of one that the generator needs to convert it
    source: Statistics | None = None  # of the genre that the generator knows; None: it takes any song as it is
    song_share: float = 0.0  # of a song's own levels in what the generator takes for its genre's
    likeness: Likeness | None = None  # that tells whether a song is of the genre that the generator knows

    @property
    def window(self) -> int:
        """Return the frames that the generator is given at a time."""
        return FRESH + FADE + 2 * self.context

    @classmethod
    def from_run(
        cls, run: str | os.PathLike[str] | RunDirectory, to: str, generator: dict[str, Any] | None = None
    ) -> Translator:
        """Load the generator of a run that converts into the genre `to`, unless its parameters are given.

        Raises:
            ConfigError: when there is no such run, or `to` is not of its pair.
            CheckpointError: when it holds no whole checkpoint.
        """
        run, source = _direction(run, to)

        from gst_jax.learning import checkpoint, models  # only now, so that a refused command line need not wait

        if generator is None:
            generator = checkpoint.load_generator(run, "ab" if to == run.pair[1] else "ba")
        fine = run.read_fine_structures()[run.pair.index(to)]
        context = models.context(run.config.model)
        return cls(
            audio=run.config.audio,
            generator=compiled(generator, run, source, to),
            fine_structure=fine,
            context=context,
            source=run.statistics[source],
            song_share=run.config.model.song_share,
            likeness=Likeness(source, to, run.statistics[source], run.statistics[to]),
        )

    @classmethod
    def bypass(cls, run: str | os.PathLike[str] | RunDirectory, to: str) -> Translator:
        """Return a translator that changes no log-mel, to hear what analysis and resynthesis do alone."""
        audio = _direction(run, to)[0].config.audio
        return cls(audio, lambda log_mel: log_mel, fine_structure.flat(audio))

    def __call__(
        self,
        waveform: Array,
        sample_rate: int,
        strength: float = 1.0,
        route: str = synthesis.DEFAULT_ROUTE,
        name: str = "",
    ) -> Array:
        """Convert a whole sound, as loud as it was.

        No true peak is above -1 dBFS, or, of sound that exceeds full scale itself, above its highest sample.

        Args:
            waveform: float [N] or [N, C], C at most 8; -1 to 1 is full scale.
            sample_rate: Hz, a whole number from 8,000 to 192,000.
            strength: 0 gives the very samples back, 1 converts wholly; between, the log-mels are interpolated.
            route: how to make sound of a log-mel, one of `synthesis.ROUTES`.
            name: of the song, for the AudioWarning where it sounds like the target genre already; else there is none.

        Returns:
            float32 of the same shape.

        Raises:
            ValueError: when an argument cannot be used.
            ConversionError: when no sound came of it.
        """
        samples = np.asarray(waveform)
        if samples.ndim not in (1, 2) or not samples.size:
            raise ValueError(f"a waveform must have the shape [N] or [N, C] with samples in it, not {samples.shape}")
        columns = samples.reshape(len(samples), -1)
        pieces = self.stream(lambda: [columns], sample_rate, strength, route, name=name)
        return np.concatenate(list(pieces)).reshape(samples.shape)

    def convert_log_mel(self, log_mel: Array) -> Array:
        """Convert a log-mel [T, M] of any length, in dB, window by window as a call does."""
        song = levels.Levels(self.audio.n_mels)
        song.add(log_mel, pauses=False)
        return np.concatenate(list(self._translated([log_mel], self._to_genre(song))))[:, 1]

    def stream(
        self,
        read: Read,
        sample_rate: int,
        strength: float = 1.0,
        route: str = synthesis.DEFAULT_ROUTE,
        ceiling: float | None = None,
        name: str = "",
    ) -> Iterator[Array]:
        """Convert sound that can be read several times, block by block, to what a call makes of the whole.

        It is read three times: for its level, for its log-mel, which is converted, and to make the new sound of it.
        The first block comes when all is made, since one gain for the whole gives it the loudness of the source.
        Memory does not grow with the length: a long sound waits in a temporary file, as large as its float32 samples.

        Args:
            read: returns the blocks from the first on, float [n, C] each, any n; C is the same for all.
            sample_rate: as for a call.
            strength: as for a call.
            route: as for a call.
            ceiling: that no true peak shall exceed; None: as for a call.
            name: as for a call.

        Yields:
            float32 [m, C], together as long as the blocks.

        Raises:
            ValueError, ConversionError: as a call.
        """
        slowest, fastest = sound.SAMPLE_RATES
        if not slowest <= sample_rate <= fastest or sample_rate % 1:
            raise ValueError(f"the sample rate must be a whole number, {slowest} to {fastest} Hz, not {sample_rate}")
        sample_rate = int(sample_rate)
        check_strength(strength)
        synthesis.check_route(route)
        if strength == 0:
            yield from streams.checked(read())
            return
        peak = 0.0

        def measured() -> Iterator[Array]:
            nonlocal peak
            for block in streams.checked(read()):
                peak = max(peak, float(np.abs(block).max()))
                yield block

        gain = loudness.gain_to_reference(streams.mixed(measured(), sample_rate), sample_rate)
        with closing(streams.Spool()) as made:
            level = self._make(made, read, gain, sample_rate, strength, route, name)
            pieces = (level * piece for piece in made.blocks())
            yield from streams.limited(pieces, sample_rate, ceiling or (peak if peak > 1 else loudness.CEILING))

    def _make(
        self, made: streams.Spool, read: Read, gain: float, sample_rate: int, strength: float, route: str, name: str
    ) -> float:
        """Write the new sound, of its own level, and return the factor that makes it as loud as the source.

        Raises:
            ConversionError: when it is no sound: a last guard, before anyone hears it.
        """

        def at_reference() -> Iterator[Array]:
            return (np.float32(gain) * block for block in streams.checked(read()))

        energies = []
        for old, new in self._converted(at_reference, sample_rate, strength, route, name):
            made.append(new)
            energies.append([loudness.energy(part, sample_rate) for part in (old, new)])
        before, after = np.array(energies).T
        if not np.isfinite(after).all():
            raise ConversionError(f"the conversion came out as NaN or infinite samples; {_REMEDY}")
        change = before.sum() / after.sum() if before.any() and after.any() else 1.0
        if after.max() * change > _FAR_ABOVE * before.max():
            raise ConversionError(f"the conversion came out far louder than its source in places; {_REMEDY}")
        return float(np.sqrt(change)) / gain

    def _converted(
        self, read: Read, sample_rate: int, strength: float, route: str, name: str
    ) -> Iterator[tuple[Array, Array]]:
        """Yield pieces of the source, each with its conversion, float32 [n, C], before loudness."""
        song = levels.Levels(self.audio.n_mels)
        with closing(streams.Spool()) as heard, closing(streams.Spool()) as frames:
            mono = streams.resampled(streams.mixed(read(), sample_rate), sample_rate, self.audio.sample_rate)
            for log_mel in streams.log_mels(mono, self.audio):
                song.add(log_mel, pauses=False)
                heard.append(log_mel)
            if name and self.likeness is not None:
                self.likeness.warn(name, song)
            for both in self._translated(heard.blocks(), self._to_genre(song)):
                old, new = np.moveaxis(both, 1, 0)
                frames.append(np.stack([old, old + np.float32(strength) * (new - old)], axis=1))
            yield from self._synthesised(read(), frames, sample_rate, route)

    def _to_genre(self, song: levels.Levels) -> Callable[[Array], Array]:
        """Return what moves a song's log-mels [T, M] towards the levels of its genre."""
        if self.source is None or not self.song_share:
            return lambda log_mel: log_mel
        mean, deviation = np.array(self.source.mean), np.array(self.source.deviation)
        own_mean, own_deviation = levels.blended(mean, deviation, song, self.song_share)
        scale = (deviation / own_deviation).astype(np.float32)
        shift = (mean - own_mean * deviation / own_deviation).astype(np.float32)
        return lambda log_mel: log_mel * scale + shift

    def _translated(self, log_mels: Iterable[Array], to_genre: Callable[[Array], Array]) -> Iterator[Array]:
        """Convert a stream of log-mels: [t, M] -> [t', 2, M], the source's beside the target's."""
        tail, context = None, self.context
        for window, fresh in streams.windows(log_mels, FRESH, context, FADE + context, "reflect"):
            if fresh == 0:
                return
            piece = self.generator(to_genre(window))[context : context + FRESH + FADE]
            if not np.isfinite(piece).all():
                raise ConversionError(f"the conversion came out as NaN or infinite levels; {_REMEDY}")
            faded = piece if tail is None else streams.cross_faded(tail, piece)
            yield np.stack([window[context:][:fresh], faded[:fresh]], axis=1)
            tail = piece[FRESH:]

    def _synthesised(
        self, blocks: Iterable[Array], frames: streams.Spool, sample_rate: int, route: str
    ) -> Iterator[tuple[Array, Array]]:
        """Make sound of the spooled log-mels and their source; yield pieces of both, float32 [n, C]."""
        hop = spectrum.hop_length(sample_rate, self.audio)
        size, margin = _CHUNK * hop, _MARGIN * hop
        per_frame = sample_rate / self.audio.frames_per_second  # source samples

        def chunks() -> Iterator[tuple[Array, Array, float, int]]:
            windows = streams.windows(blocks, size, margin, 2 * margin, "constant")
            for number, (source, count) in enumerate(windows):
                start = number * size - margin
                first = max(0, int(start / per_frame) - 1)
                last = math.ceil((start + len(source)) / per_frame) + 2
                if count:
                    yield source, frames.read(first, last), (first * per_frame - start) / sample_rate, count

        def synthesise(chunk: tuple[Array, Array, float, int]) -> tuple[Array, Array]:
            source, both, start, count = chunk
            old, new = np.moveaxis(both, 1, 0)
            piece = synthesis.synthesize(
                source, sample_rate, old, new, self.audio, self.fine_structure, route, start=start
            )
            return source[margin:][:count], piece[margin:-margin]

        tail = None
        # BLAS's own threads would spin beside ours, which have enough to do.
        with threadpool_limits(limits=1, user_api="blas"):
            for source, piece in streams.mapped(synthesise, chunks(), _THREADS):
                faded = piece if tail is None else streams.cross_faded(tail, piece)
                yield source, faded[: len(source)]
                tail = piece[size:]


def _direction(run: str | os.PathLike[str] | RunDirectory, to: str) -> tuple[RunDirectory, str]:
    """Return the run with the genre it would convert from."""
    run = run if isinstance(run, RunDirectory) else RunDirectory.open(run)
    if to not in run.pair:
        raise ConfigError(f"--to={to!r} is not a genre of {run.path}; choose {run.pair[1]} or {run.pair[0]}")
    return run, run.pair[1 - run.pair.index(to)]


def compiled(generator: Any, run: RunDirectory, source: str, to: str) -> Callable[[Array], Array]:
    """Return the compiled conversion of log-mels in dB, [T, M] -> [T, M], with a generator's parameters.

    Args:
        generator: parameters, of `cyclegan.translate`.
        run: whose model it is.
        source: the genre that goes in.
        to: the genre that comes out.
    """
    from gst_jax.learning import cyclegan  # here, so that a refused command line or a bypass does not wait for JAX

    before, after = (
        tuple(np.asarray(values, np.float32)[None] for values in (statistics.mean, statistics.deviation))
        for statistics in (run.statistics[source], run.statistics[to])
    )
    # A hum or thump that the source's training hardly knew would come out louder than anything in the target's.
    highest = np.asarray(run.statistics[to].highest, np.float32)[None]
    return lambda log_mel: np.asarray(
        cyclegan.translate_levels(generator, run.config.model, log_mel, before, after, highest)
    )


def check_strength(strength: float | str) -> float:
    """Return a strength as a number.

    Raises:
        ValueError: unless it lies in 0 to 1.
    """
    try:
        value = float(strength)
    except ValueError as error:
        raise ValueError(f"strength must be a number in 0 to 1, not {strength!r}") from error
    if not 0 <= value <= 1:
        raise ValueError(f"strength must lie in 0 to 1, not {strength}")
    return value
