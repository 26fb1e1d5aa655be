"""Convert sound of any length, sample rate or channel count with a trained generator."""

from __future__ import annotations

import itertools
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gst_jax import sound
from gst_jax.config import AudioConfig, ConfigError
from gst_jax.conversion import streams, synthesis
from gst_jax.runs.directory import RunDirectory
from gst_jax.sound import fine_structure, loudness, spectrum
from gst_jax.types import Array

WINDOW = 504  # log-mel frames converted at a time: one shape, so one compilation
CONTEXT = 40  # frames of its surroundings that the generator sees at each end, and that are not used
FADE = 32  # frames over which neighbouring windows are mixed
_MEL_BLOCK = 32  # frames measured at a time
_CHUNK = 256  # hops of sound synthesised at a time
_MARGIN = 8  # hops around them, two windows


@dataclass(frozen=True)
class Translator:
    """Everything that converts one genre into another; call it with a waveform."""

    audio: AudioConfig
    generator: Callable[[Array], Array]  # log-mels in dB [WINDOW, M] -> [WINDOW, M]
    fine_structure: Array  # of the target genre, from `fine_structure.Fit`

    @classmethod
    def from_run(cls, run: str | os.PathLike[str] | RunDirectory, to: str) -> Translator:
        """Load the generator of a run that converts into the genre `to`.

        Raises:
            ConfigError: when there is no such run, or `to` is not of its pair.
            CheckpointError: when it holds no whole checkpoint.
        """
        run, source = _direction(run, to)

        from gst_jax.learning import checkpoint  # only now, so that a refused command line does not wait for it

        generator = checkpoint.load_generator(run, "ab" if to == run.pair[1] else "ba")
        fine = run.read_fine_structures()[run.pair.index(to)]
        return cls(run.config.audio, compiled(generator, run, source, to), fine)

    @classmethod
    def bypass(cls, run: str | os.PathLike[str] | RunDirectory, to: str) -> Translator:
        """Return a translator that changes no log-mel, to hear what analysis with resynthesis does alone."""
        audio = _direction(run, to)[0].config.audio
        return cls(audio, lambda log_mel: log_mel, fine_structure.flat(audio))

    def __call__(
        self, waveform: Array, sample_rate: int, strength: float = 1.0, route: str = synthesis.DEFAULT_ROUTE
    ) -> Array:
        """Convert a whole sound, as loud as it was, with true peaks below -1 dBFS.

        Args:
            waveform: float [N] or [N, C].
            sample_rate: Hz, a whole number.
            strength: 0 gives the very samples back, 1 converts wholly; between, the log-mels are interpolated.
            route: how to make sound of a log-mel, one of `synthesis.ROUTES`.

        Returns:
            float32 of the same shape.

        Raises:
            ValueError: when an argument cannot be used.
        """
        waveform = np.asarray(waveform, np.float32)
        _check(waveform, sample_rate, strength, route)
        if strength == 0:
            return waveform.copy()
        columns = waveform.reshape(len(waveform), -1)
        gain = loudness.gain_to_reference(sound.mono(columns), sample_rate)
        pieces = list(self._converted([columns * gain], sample_rate, strength, route))
        before = sum(loudness.energy(old, sample_rate) for old, _ in pieces)
        after = sum(loudness.energy(new, sample_rate) for _, new in pieces)
        level = (math.sqrt(before / after) if before > 0 and after > 0 else 1.0) / gain
        leveled = (new * level for _, new in pieces)
        return np.concatenate(list(_limited(leveled, sample_rate))).reshape(waveform.shape)

    def convert_log_mel(self, log_mel: Array) -> Array:
        """Convert a log-mel [T, M] of any length, in dB, window by window as a call does."""
        return np.concatenate(list(self._translated([log_mel])))[:, 1]

    def stream(
        self,
        blocks: Iterable[Array],
        sample_rate: int,
        strength: float = 1.0,
        route: str = synthesis.DEFAULT_ROUTE,
        gain: float = 1.0,
    ) -> Iterator[Array]:
        """Convert sound that arrives in blocks; memory does not grow with its length.

        The first comes when 8 s were heard, and from there on at most 12 s are held back: the generator looks at
        8 s at once. The loudness follows the source's so far, where a call on the whole sound matches it once.

        Args:
            blocks: float32 [n, C] each, any n.
            sample_rate: Hz.
            strength: as for a call.
            route: as for a call.
            gain: from `loudness.gain_to_reference`, where the whole sound can be known before; a call measures it.

        Yields:
            float32 [m, C], together as long as the blocks.
        """
        checked = (_check(block, sample_rate, strength, route) for block in blocks)
        if strength == 0:
            yield from checked
            return
        pieces = self._converted((block * gain for block in checked), sample_rate, strength, route)
        leveled = (piece / gain for piece in _following(pieces, sample_rate))
        yield from _limited(leveled, sample_rate)

    def _converted(
        self, blocks: Iterable[Array], sample_rate: int, strength: float, route: str
    ) -> Iterator[tuple[Array, Array]]:
        """Yield pieces of the source with their conversion, float32 [n, C] each, before loudness."""
        source, frames = streams.Tape(), streams.Tape()
        heard: deque[Array] = deque()  # by the thread that translates ahead

        def mono() -> Iterator[Array]:
            for block in blocks:
                heard.append(block)
                yield sound.mono(block)

        hop = spectrum.hop_length(sample_rate, self.audio)
        size, margin = _CHUNK * hop, _MARGIN * hop
        per_frame = sample_rate / self.audio.frames_per_second  # source samples
        done, tail = 0, None
        log_mels = self._log_mels(_resampled(mono(), sample_rate, self.audio.sample_rate))
        for both in itertools.chain(streams.ahead(self._translated(log_mels)), [None]):
            while heard:
                source.append(heard.popleft())
            if both is not None:
                frames.append(both)
            while done < source.end and (both is None or done + size + 2 * margin <= (frames.end - 2) * per_frame):
                first = max(0, int((done - margin) / per_frame) - 1)
                last = math.ceil((done + size + 2 * margin) / per_frame) + 2
                old, new = np.moveaxis(frames.read(first, last), 1, 0)
                piece = synthesis.synthesize(
                    source.read_padded(done - margin, done + size + 2 * margin),
                    sample_rate,
                    old,
                    old + np.float32(strength) * (new - old),
                    self.audio,
                    self.fine_structure,
                    route,
                    start=(first * per_frame - (done - margin)) / sample_rate,
                )[margin:-margin]
                count = min(size, source.end - done)
                faded = piece if tail is None else streams.cross_faded(tail, piece)
                yield source.read(done, done + count), faded[:count]
                tail = piece[size:]
                done += count
                source.forget(done - margin)
                frames.forget(int((done - margin) / per_frame) - 1)

    def _log_mels(self, mono: Iterable[Array]) -> Iterator[Array]:
        """Measure a stream of sound: [n] -> [t, M], with a frame for its very end too."""
        hop = self.audio.hop_length
        context = math.ceil(self.audio.n_fft / 2 / hop)
        for window, fresh in streams.windows(mono, _MEL_BLOCK * hop, context * hop, context * hop, "constant"):
            count = _MEL_BLOCK if fresh == _MEL_BLOCK * hop else fresh // hop + 1
            yield sound.log_mel(window, self.audio)[context:][:count]

    def _translated(self, log_mels: Iterable[Array]) -> Iterator[Array]:
        """Convert a stream of log-mels: [t, M] -> [t', 2, M], the source's next to the target's."""
        size = WINDOW - 2 * CONTEXT - FADE
        tail = None
        for window, fresh in streams.windows(log_mels, size, CONTEXT, FADE + CONTEXT, "reflect"):
            if fresh == 0:
                return
            piece = self.generator(window)[CONTEXT : CONTEXT + size + FADE]
            faded = piece if tail is None else streams.cross_faded(tail, piece)
            yield np.stack([window[CONTEXT:][:fresh], faded[:fresh]], axis=1)
            tail = piece[size:]


def _resampled(mono: Iterable[Array], rate_in: int, rate_out: int) -> Iterator[Array]:
    """Change the rate of a stream of sound [n] in windows that begin on samples of both rates."""
    unit_in, unit_out = (rate // math.gcd(rate_in, rate_out) for rate in (rate_in, rate_out))
    context = math.ceil(0.05 * rate_in / unit_in)
    count = math.ceil(0.5 * rate_in / unit_in)
    if unit_in == unit_out:
        yield from mono
        return
    for window, fresh in streams.windows(mono, count * unit_in, context * unit_in, context * unit_in, "constant"):
        out = sound.resample(window, rate_in, rate_out)
        yield out[context * unit_out :][: -(-fresh * unit_out // unit_in)]


def _following(pieces: Iterable[tuple[Array, Array]], sample_rate: int) -> Iterator[Array]:
    """Give converted pieces the loudness of the source so far, changing smoothly along each."""
    before = after = 0.0
    level = None
    for old, new in pieces:
        before += loudness.energy(old, sample_rate)
        after += loudness.energy(new, sample_rate)
        wanted = math.sqrt(before / after) if before > 0 and after > 0 else 1.0
        ramp = np.linspace(wanted if level is None else level, wanted, len(new), dtype=np.float32)
        yield new * ramp[:, None]
        level = wanted


def _limited(pieces: Iterable[Array], sample_rate: int) -> Iterator[Array]:
    """Limit a stream of sound [n, C]."""
    reach = loudness.reach(sample_rate)
    size = sample_rate // 2
    for window, fresh in streams.windows(pieces, size, reach, reach, "constant"):
        gain = loudness.limiter_gain(window, sample_rate)
        yield (window * gain[:, None])[reach:][:fresh]


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
    import jax  # here, so that a refused command line or a bypass does not wait for it

    from gst_jax.learning import cyclegan

    mean_in, deviation_in, mean_out, deviation_out = (
        np.asarray(values, np.float32)[None, :]
        for genre in (source, to)
        for values in (run.statistics[genre].mean, run.statistics[genre].deviation)
    )
    # A hum or thump that the source's training hardly knew would come out louder than anything in the target's.
    highest = np.asarray(run.statistics[to].highest, np.float32)[None, :]

    @jax.jit
    def convert(generator: Any, log_mel: jax.Array) -> jax.Array:
        standardised = (log_mel - mean_in) / deviation_in
        translated = cyclegan.translate(generator, run.config.model, standardised[None])[0]
        return jax.numpy.minimum(translated * deviation_out + mean_out, highest)

    return lambda log_mel: np.asarray(convert(generator, log_mel))


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


def _check(waveform: Array, sample_rate: int, strength: float, route: str) -> Array:
    """Return the waveform when all can be used."""
    if waveform.ndim not in (1, 2) or not waveform.size:
        raise ValueError(f"a waveform must have the shape [N] or [N, C] with samples in it, not {waveform.shape}")
    if not np.isfinite(waveform).all():
        raise ValueError("the waveform holds samples that are NaN or infinite; remove them first")
    if sample_rate < 1 or sample_rate != int(sample_rate):
        raise ValueError(f"the sample rate must be a whole number of Hz above 0, not {sample_rate}")
    check_strength(strength)
    synthesis.check_route(route)
    return waveform
