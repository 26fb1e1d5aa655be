"""Define the networks: a ResNet generator, as in CycleGAN, next to a PatchGAN discriminator.

Architecture after Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
Networks" (arXiv:1703.10593), with nearest-neighbour up-sampling before a convolution instead of a transposed one,
which leaves checkerboards (Odena et al. 2016, distill.pub/2016/deconv-checkerboard).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gst_jax.config import ModelConfig
from gst_jax.learning.convolution import conv2d, instance_norm, upsample_conv2d
from gst_jax.learning.convolution_1d import DType, conv1d

TRANSPORT = "transport"  # name of the layer whose kernel `transport.gaussian_transport` computes
OUTPUT = "output"  # name of a generator's last layer
STRIDE = 4  # two halvings: the generator pads the frames to a multiple of this
RELU, LEAKY = 0.0, 0.2  # slopes of the rectifiers below zero
_DEVIATION = 0.02  # of an initial kernel in two dimensions
_SHAPE_ALONE = nn.initializers.zeros  # initial values are drawn by `draw_parameters`

Parameters = dict[str, Any]


class Conv(nn.Module):
    """A square convolution with zero padding, `[B, T, M, C]` -> about `[B, T / stride, M / stride, features]`."""

    features: int
    size: int
    stride: int = 1
    upsample: bool = False  # nearest-neighbour, twice as large in both axes, before the convolution
    bias: bool = False  # off wherever an instance norm follows, which would remove it

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve `x`."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", _SHAPE_ALONE, shape)
        if self.upsample:
            x = upsample_conv2d(x, kernel)
        else:
            x = conv2d(x, kernel, stride=self.stride)
        if self.bias:
            x = x + self.param("bias", _SHAPE_ALONE, (1, 1, 1, self.features))
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
        x = Conv(1, 7, bias=True, name=OUTPUT)(x)
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


class FrameConv(nn.Module):
    """A convolution over time alone, `[B, T, C]` -> `[B, ceil(T / stride), features]`."""

    features: int
    size: int
    stride: int = 1
    dtype: DType = jnp.float32  # in which it multiplies

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolve `x`."""
        kernel = self.param("kernel", _SHAPE_ALONE, (self.size, x.shape[-1], self.features))
        return conv1d(x, kernel, self.stride, self.dtype) + self.param("bias", _SHAPE_ALONE, (1, 1, self.features))


class Transport(nn.Module):
    """A linear map of log-mels that training leaves as it was computed, `[B, T, M]` -> `[B, T, M]`."""

    taps: int
    dtype: DType

    @nn.compact
    def __call__(self, log_mel: jax.Array) -> jax.Array:
        """Filter `log_mel`."""
        mels = log_mel.shape[-1]
        kernel = self.param("kernel", _SHAPE_ALONE, (self.taps, mels, mels))
        return conv1d(log_mel, jax.lax.stop_gradient(kernel), dtype=self.dtype)


class FrameGenerator(nn.Module):
    """Do what `Generator` does with mel bins for channels: a thirteenth of the arithmetic for as many parameters.

    Every bin sees every other, so it learns where each note's partials lie instead of a pattern for all pitches.
    Without any norm it hears how loud and how steady its input is, and no more than a second around a frame.
    """

    channels: int
    residual_blocks: int
    residual: bool
    transport: int  # taps of the map that comes first; 0: none
    dtype: DType = jnp.float32  # in which it multiplies

    @nn.compact
    def __call__(self, log_mel: jax.Array) -> jax.Array:
        """Convert `log_mel`, `[B, T, M]` -> `[B, T, M]` for any T."""
        frames, mels = log_mel.shape[1:]
        c, convolved = self.channels, functools.partial(FrameConv, dtype=self.dtype)
        if self.transport:
            log_mel = Transport(self.transport, self.dtype, name=TRANSPORT)(log_mel)
        x = jnp.pad(log_mel, ((0, 0), (0, -frames % 2), (0, 0)))
        x = nn.relu(convolved(c, 5)(x))
        x = nn.relu(convolved(c, 4, stride=2)(x))
        for _ in range(self.residual_blocks):
            x = x + convolved(c, 3)(nn.relu(convolved(c, 3)(x)))
        x = nn.relu(convolved(2 * c, 3)(x)).reshape(*x.shape[:1], -1, c)  # two frames out of one
        y = convolved(mels, 5, name=OUTPUT)(x)[:, :frames]
        return log_mel + y if self.residual else y


class FrameDiscriminator(nn.Module):
    """Score stretches of log-mels as real (1) or converted (0), `[B, T, M]` -> `[B, ceil(T / 8)]`.

    A norm would hide from it how much the sound moves, which is most of what tells genres apart.
    """

    channels: int
    dtype: DType = jnp.float32  # in which it multiplies

    @nn.compact
    def __call__(self, log_mel: jax.Array) -> jax.Array:
        """Score `log_mel`."""
        c, convolved = self.channels, functools.partial(FrameConv, dtype=self.dtype)
        x = nn.leaky_relu(convolved(c, 5, stride=2)(log_mel), LEAKY)
        x = nn.leaky_relu(convolved(2 * c, 5, stride=2)(x), LEAKY)
        x = nn.leaky_relu(convolved(2 * c, 5, stride=2)(x), LEAKY)
        return convolved(1, 3)(x)[..., 0]


def networks(model: ModelConfig, dtype: DType = jnp.float32) -> tuple[nn.Module, nn.Module]:
    """Return the generator with the discriminator that a config describes.

    Args:
        model: their architecture.
        dtype: in which frame networks multiply; the others do in float32.
    """
    if model.architecture == "frames":
        return (
            FrameGenerator(model.channels, model.residual_blocks, model.residual, model.transport_taps, dtype),
            FrameDiscriminator(model.discriminator_channels, dtype),
        )
    generator = Generator(model.channels, model.residual_blocks, model.residual)
    return generator, Discriminator(model.discriminator_channels)


def context(model: ModelConfig) -> int:
    """Return how many frames on each side of one a generator needs to convert it.

    Of a frame network they are all that it sees: half the transport's taps, four frames a residual block at half the
    rate, and nine for the other layers. An instance norm sees the whole window; 40 frames cover most of what the
    convolutions around it see.
    """
    if model.architecture == "pictures":
        return 40
    return model.transport_taps // 2 + 4 * model.residual_blocks + 9


def draw_parameters(shapes: Parameters, model: ModelConfig, seed: Sequence[int]) -> Parameters:
    """Draw a network's first parameters with NumPy; through XLA:CPU, `network.init` would compile for ten seconds.

    Kernels are normal, with deviation 0.02 in two dimensions, as CycleGAN's, and 1 / sqrt(inputs) in one; biases are
    zero. A residual generator's last kernel is near zero, and a transport begins as the identity, so that it starts
    as the identity of standardised log-mels, that is, as an equaliser.

    Args:
        shapes: of the network's parameters, as `network.init` would give.
        model: of the run.
        seed: integers; the same ones give the same parameters.
    """
    rng = np.random.default_rng(seed)

    def draw(path: Sequence[Any], leaf: jax.ShapeDtypeStruct) -> Any:
        layer, name = path[-2].key, path[-1].key
        if name == "bias":
            return np.zeros(leaf.shape, np.float32)
        if layer == TRANSPORT:
            centre = np.arange(leaf.shape[0]) == leaf.shape[0] // 2
            return (centre[:, None, None] * np.eye(leaf.shape[1])).astype(np.float32)
        deviation = _DEVIATION if leaf.ndim == 4 else 1 / np.sqrt(np.prod(leaf.shape[:-1]))
        if layer == OUTPUT and model.residual:
            deviation = 1e-3
        return np.float32(deviation) * rng.standard_normal(leaf.shape, np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)
