"""Compute 2-D convolutions with forward and derivative rules that are fast on XLA:CPU."""

from __future__ import annotations

import jax
from jax import lax
from jax import numpy as jnp

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv2d(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """Convolve with zero padding of (kernel - 1) // 2 on every side, as PyTorch's `padding=`.

    So odd kernels keep the size at stride 1, 3x3 and 4x4 kernels halve an even size at stride 2, and a
    4x4 kernel at stride 1 takes one off.

    Args:
        x: [B, H, W, C].
        kernel: [kh, kw, C, D].
        stride: of both axes.

    Returns:
        [B, H', W', D] with H' = (H + 2 ((kh - 1) // 2) - kh) // stride + 1.
    """
    padding = [((size - 1) // 2, (size - 1) // 2) for size in kernel.shape[:2]]
    return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=_LAYOUT)


def upsample_conv2d(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Double both sizes by nearest neighbour, then convolve with a 3x3 kernel and zero padding of 1.

    Args:
        x: [B, H, W, C].
        kernel: [3, 3, C, D].

    Returns:
        [B, 2 H, 2 W, D].
    """
    return conv2d(x.repeat(2, axis=1).repeat(2, axis=2), kernel)


def instance_norm(x: jax.Array, negative_slope: float = 1.0, epsilon: float = 1e-5) -> jax.Array:
    """Normalise each channel of each example to mean 0, variance 1, then apply a leaky rectifier.

    There is no learned scale or bias, as in CycleGAN's reference code.

    Args:
        x: [B, H, W, C].
        negative_slope: of the rectifier: 1 is none, 0 is `relu`.
        epsilon: added to the variance.

    Returns:
        [B, H, W, C].
    """
    centred = x - x.mean((1, 2), keepdims=True)
    normal = centred * lax.rsqrt(jnp.square(centred).mean((1, 2), keepdims=True) + epsilon)
    return jnp.where(normal > 0, normal, negative_slope * normal)
