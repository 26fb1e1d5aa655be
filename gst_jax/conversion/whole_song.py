"""Convert the log-mel of a whole song by one pure function of JAX, for programs without this package."""

from __future__ import annotations

import jax
import jax.export
import numpy as np
from jax import numpy as jnp

from gst_jax.config import Config
from gst_jax.conversion.translator import FADE, FRESH
from gst_jax.learning import cyclegan, models
from gst_jax.runs.directory import Statistics
from gst_jax.sound import levels
from gst_jax.types import Array


def stablehlo(generator: models.Parameters, settings: Config, source: Statistics, target: Statistics) -> bytes:
    """Return what `jax.export.deserialize` reads: `convert` for any number of frames, with all its constants.

    Args:
        generator: parameters of one.
        settings: of its run.
        source: of the genre that goes in.
        target: of the genre that comes out.
    """
    (frames,) = jax.export.symbolic_shape("frames")
    song = jax.ShapeDtypeStruct((frames, settings.audio.n_mels), np.float32)
    exported = jax.export.export(jax.jit(lambda log_mel: convert(log_mel, generator, settings, source, target)))
    return bytes(exported(song).serialize())


def convert(
    log_mel: jax.Array, generator: models.Parameters, settings: Config, source: Statistics, target: Statistics
) -> jax.Array:
    """Do what `Translator.convert_log_mel` does, all windows at once: [T, M] dB -> [T, M] dB; the rest as above."""
    model, context = settings.model, models.context(settings.model)
    before, after = (np.array([part.mean, part.deviation], np.float32)[:, None] for part in (source, target))
    highest = np.array([target.highest], np.float32)
    blended = _blended(log_mel, before, model.song_share)

    def converted(window: jax.Array) -> jax.Array:
        made = cyclegan.translate_levels(generator, model, window, blended, (after[0], after[1]), highest)
        return made[context : context + FRESH + FADE]

    frames = log_mel.shape[0]
    starts = FRESH * jnp.arange(-(-frames // FRESH))[:, None]
    places = starts + np.arange(-context, FRESH + FADE + context)[None]
    windows = log_mel[_reflected(places, jnp.maximum(starts - context, 0), frames - 1)]
    pieces = jax.vmap(converted)(windows)
    tails = jnp.concatenate([pieces[:1, :FADE], pieces[:-1, FRESH:]])
    rise = ((np.arange(FADE, dtype=np.float32) + 0.5) / np.float32(FADE))[None, :, None]
    heads = tails * (1 - rise) + pieces[:, :FADE] * rise
    return jnp.concatenate([heads, pieces[:, FADE:FRESH]], axis=1).reshape(-1, log_mel.shape[1])[:frames]


def _blended(log_mel: jax.Array, genre: Array, share: float) -> tuple[jax.Array, jax.Array]:
    """Do what `levels.blended` does with a song's log-mel [T, M] and its genre's mean and deviation [2, 1, M]."""
    sounds = log_mel.max(axis=1, keepdims=True) > levels.PAUSE
    frames = sounds.sum()
    mean = jnp.where(sounds, log_mel, 0).sum(0, keepdims=True) / jnp.maximum(frames, 1)
    variance = jnp.where(sounds, jnp.square(log_mel - mean), 0).sum(0, keepdims=True) / jnp.maximum(frames, 1)
    deviation = jnp.sqrt(jnp.maximum(variance, levels.MIN_DEVIATION**2))
    weight = share * frames / (frames + levels.HALF_TOLD)
    moved = jnp.clip(mean - genre[0], -levels.FURTHEST, levels.FURTHEST)
    stretched = jnp.clip(deviation / genre[1], 1 / levels.STEEPEST, levels.STEEPEST)
    return genre[0] + weight * moved, genre[1] * (1 + weight * (stretched - 1))


def _reflected(places: jax.Array, first: jax.Array, last: int) -> jax.Array:
    """Return where `np.pad` with "reflect" finds the frames before the first one and after the last."""
    period = jnp.maximum(2 * (last - first), 1)
    beyond = (places - first) % period
    return first + jnp.minimum(beyond, period - beyond)
