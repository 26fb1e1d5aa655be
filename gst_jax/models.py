"""Define the networks: a ResNet generator, as in CycleGAN, next to a PatchGAN discriminator.

Architecture after Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
Networks" (arXiv:1703.10593), with nearest-neighbour up-sampling before a convolution instead of a transposed one,
which leaves checkerboards (Odena et al. 2016, distill.pub/2016/deconv-checkerboard).
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gst_jax.convolution import conv2d, instance_norm, upsample_conv2d

STRIDE = 4  # two halvings: the generator pads the frames to a multiple of this
RELU, LEAKY = 0.0, 0.2  # slopes of the rectifiers below zero


class Conv(nn.Module):
    """A square convolution with zero padding, `[B, T, M, C]` -> about `[B, T / stride, M / stride, features]`."""

    features: int
    size: int
    stride: int = 1
    upsample: bool = False  # nearest-neighbour, twice as large in both axes, before the convolution
    bias: bool = False  # off wherever an instance norm follows, which would remove it
    scale: float = 0.02  # deviation of the initial kernel

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve `x`."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", _normal(self.scale), shape)
        if self.upsample:
            x = upsample_conv2d(x, kernel)
        else:
            x = conv2d(x, kernel, stride=self.stride)
        if self.bias:
            x = x + self.param("bias", nn.initializers.zeros, (1, 1, 1, self.features))
        return x


class Generator(nn.Module):
    """Turn standardised log-mels of one genre into those of the other, `[B, T, M]` -> `[B, T, M]` for any T."""

    channels: int
    residual_blocks: int
    residual: bool

    @nn.compact
    def __call__(self, log_mel: jax.Array) -> jax.Array:
        """Convert `log_mel`."""
        frames = log_mel.shape[1]
        x = jnp.pad(log_mel, ((0, 0), (0, -frames % STRIDE), (0, 0)))[..., None]
        c = self.channels
        x = instance_norm(Conv(c, 7)(x), RELU)
        x = instance_norm(Conv(2 * c, 3, stride=2)(x), RELU)
        x = instance_norm(Conv(4 * c, 3, stride=2)(x), RELU)
        for _ in range(self.residual_blocks):
            y = instance_norm(Conv(4 * c, 3)(x), RELU)
            x = x + instance_norm(Conv(4 * c, 3)(y))
        x = instance_norm(Conv(2 * c, 3, upsample=True)(x), RELU)
        x = instance_norm(Conv(c, 3, upsample=True)(x), RELU)
        # A residual generator starts as the identity of standardised mels, that is, as an equaliser.
        x = Conv(1, 7, bias=True, scale=1e-3 if self.residual else 0.02)(x)
        y = x[:, :frames, :, 0]
        return log_mel + y if self.residual else y


class Discriminator(nn.Module):
    """Score patches of log-mels as real (1) or converted (0), `[B, T, M]` -> about `[B, T / 8, M / 8]`."""

    channels: int

    @nn.compact
    def __call__(self, log_mel: jax.Array) -> jax.Array:
        """Score `log_mel`."""
        c = self.channels
        x = log_mel[..., None]
        x = nn.leaky_relu(Conv(c, 4, stride=2, bias=True)(x), LEAKY)
        x = instance_norm(Conv(2 * c, 4, stride=2)(x), LEAKY)
        x = instance_norm(Conv(4 * c, 4, stride=2)(x), LEAKY)
        x = instance_norm(Conv(8 * c, 4)(x), LEAKY)
        return Conv(1, 4, bias=True)(x)[..., 0]


def _normal(deviation: float) -> nn.initializers.Initializer:
    """Return an initializer that draws with NumPy: compiling jax.random for every shape takes XLA:CPU ten seconds."""

    def draw(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Any:
        if isinstance(key, jax.core.Tracer):  # under a transformation, as in flax's own check of shapes
            return deviation * jax.random.normal(key, shape, dtype)
        generator = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        return np.multiply(generator.standard_normal(shape, dtype), deviation, dtype=dtype)

    return draw
