"""Reduce arrays to the scalar losses of a CycleGAN."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def least_squares(scores: jax.Array, target: float) -> jax.Array:
    """Return the mean squared distance of patch scores `[...]` to `target` (Mao et al. 2016, arXiv:1611.04076)."""
    return jnp.square(scores - target).mean()


def logistic(scores: jax.Array, target: float) -> jax.Array:
    """Return the mean cross-entropy of patch scores `[...]`, as log odds, with `target` 0 or 1.

    As a generator's loss with target 1 this is the non-saturating one (Goodfellow et al. 2014, arXiv:1406.2661).
    """
    return (jnp.logaddexp(0.0, scores) - target * scores).mean()


def absolute_error(x: jax.Array, y: jax.Array) -> jax.Array:
    """Return the mean absolute difference of two arrays of one shape."""
    return jnp.abs(x - y).mean()


def squared_norm(gradient: jax.Array) -> jax.Array:
    """Return the mean over examples of the squared norm of gradients `[B, ...]`: R1 (Mescheder et al. 2018).

    Large where a discriminator could tell real examples apart by next to nothing (arXiv:1801.04406).
    """
    return jnp.square(gradient).sum(axis=tuple(range(1, gradient.ndim))).mean()
