"""Compute convolutions over two axes with forward and derivative rules that are fast on XLA:CPU.

Most of the networks' arithmetic is 3x3 convolutions between many channels. Winograd's minimal filtering computes
4x4 outputs of one with 36 multiplications instead of 144: cut the input into 6x6 tiles that overlap by two, take the
tiles and the kernel to a domain of 6x6 points, multiply there, come back. Between channels that is one batched matrix
product, which runs near the machine's limit:

    tiles [36, n, C]  x  kernel [36, C, D]  ->  [36, n, D]

Every stage is linear, so the derivatives run through the stages transposed: the gradient's tiles, made once, times
the input's, kept from the forward pass, are the kernel's derivative, and times the kernel's points the input's, whose
overlapping tiles add up.
With float32 the result is off by about 1e-5 of its largest value.

On other backends the 2-D convolutions are XLA's own: a GPU multiplies float32 in TF32, which makes the error of
Winograd's sums fourteen times that of a direct one (measured on an H100), gains no speed by it and compiles four
times as long.

The functions are jitted so that Python traces each once for every shape; XLA sees through it, to one program.

Lavin and Gray 2015, "Fast Algorithms for Convolutional Neural Networks" (arXiv:1509.09308).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_TILE, _STEP = 6, 4  # pixels of a tile, and from one tile to the next
_EPSILON = 1e-5  # added to the variance of an instance norm, as in CycleGAN's reference code

# One axis of F(4x4, 3x3): polynomials evaluated at 0, 1, -1, 2, -2 and infinity.
_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float32,
)
_KERNEL = np.array(
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]],
    np.float32,
) / np.float32(24)
_OUTPUT = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    np.float32,
)
_KERNEL_2D, _OUTPUT_2D = np.kron(_KERNEL, _KERNEL), np.kron(_OUTPUT, _OUTPUT)  # [36, 9], [16, 36]


@functools.partial(jax.jit, static_argnames="stride")
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
    height, width, inputs, outputs = kernel.shape
    if jax.default_backend() != "cpu":
        return _direct(x, kernel, _padding(kernel), stride)
    if stride == 1 and outputs == 1:
        return _to_one_channel(x, kernel)
    if stride == 1 and inputs == 1:
        return _from_one_channel(x, kernel)
    if stride == 1 and height == width == 3 and min(inputs, outputs) >= 32:
        return _winograd(x, kernel)
    return _direct(x, kernel, _padding(kernel), stride)


@jax.jit
def upsample_conv2d(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Double both sizes by nearest neighbour, then convolve with a 3x3 kernel and zero padding of 1.

    Each of an input pixel's four output pixels sees that pixel and its neighbours through sums of kernel
    taps: four 3x3 convolutions of the small input (Shi et al., https://arxiv.org/abs/1609.05158).

    Args:
        x: [B, H, W, C].
        kernel: [3, 3, C, D].

    Returns:
        [B, 2 H, 2 W, D].
    """
    batch, height, width, _ = x.shape
    small = jnp.concatenate([column for row in _phases(kernel, 0) for column in _phases(row, 1)], axis=-1)
    y = conv2d(x, small).reshape(batch, height, width, 2, 2, -1)
    return y.transpose(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, -1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def instance_norm(x: jax.Array, negative_slope: float = 1.0) -> jax.Array:
    """Normalise each channel of each example to mean 0, variance 1, then apply a leaky rectifier.

    There is no learned scale or bias, as in CycleGAN's reference code.

    Args:
        x: [B, H, W, C].
        negative_slope: of the rectifier: 1 is none, 0 is `relu`.

    Returns:
        [B, H, W, C].
    """
    return _instance_norm_forward(x, negative_slope)[0]


@functools.partial(jax.jit, static_argnums=1)
def _instance_norm_forward(x, negative_slope):
    centred = x - x.mean((1, 2), keepdims=True)
    scale = lax.rsqrt(jnp.square(centred).mean((1, 2), keepdims=True) + _EPSILON)
    normal = centred * scale
    return jnp.where(normal > 0, normal, negative_slope * normal), (normal, scale)


@functools.partial(jax.jit, static_argnums=0)
def _instance_norm_backward(negative_slope, residuals, gradient):
    """Remove from the gradient its parts along a shift and a scaling of x; it needs one large array, not four."""
    normal, scale = residuals
    gradient = jnp.where(normal > 0, gradient, negative_slope * gradient)
    mean = gradient.mean((1, 2), keepdims=True)
    along = (gradient * normal).mean((1, 2), keepdims=True)
    return (scale * (gradient - mean - normal * along),)


instance_norm.defvjp(_instance_norm_forward, _instance_norm_backward)


def _phases(kernel: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """Return the kernels with which the even outputs and the odd ones of an upsampled axis see the small input."""
    first, middle, last = jnp.split(kernel, 3, axis)
    nothing = jnp.zeros_like(first)
    even = jnp.concatenate([first, middle + last, nothing], axis)
    odd = jnp.concatenate([nothing, first + middle, last], axis)
    return even, odd


def _direct(x: jax.Array, kernel: jax.Array, padding: Sequence[int], stride: int = 1) -> jax.Array:
    both_sides = [(pad, pad) for pad in padding]
    return lax.conv_general_dilated(x, kernel, (stride, stride), both_sides, dimension_numbers=_LAYOUT)


def _winograd(x: jax.Array, kernel: jax.Array) -> jax.Array:
    # Outside the rule below, so that uses of one kernel share its transform, forward and backward.
    points = (_KERNEL_2D @ kernel.reshape(9, -1)).reshape(_TILE**2, *kernel.shape[2:])
    return _winograd_points(x, points)


@jax.custom_vjp
def _winograd_points(x: jax.Array, points: jax.Array) -> jax.Array:
    """Convolve [B, H, W, C] with a transformed kernel [36, C, D]."""
    return _winograd_forward(x, points)[0]


def _winograd_forward(x, points):
    tiles = _windows(_INPUT, _padded(x, before=1))
    product = jnp.einsum("pnc,pcd->pnd", _flat(tiles), points)
    y = (_OUTPUT_2D @ product.reshape(_TILE**2, -1)).reshape(_STEP, _STEP, *tiles.shape[2:5], -1)
    y = y.transpose(2, 3, 0, 4, 1, 5).reshape(x.shape[0], *(_STEP * count for count in tiles.shape[3:5]), -1)
    return y[:, : x.shape[1], : x.shape[2]], (tiles, points)


def _winograd_backward(residuals, gradient):
    tiles, points = residuals
    height, width = gradient.shape[1:3]
    d_product = _flat(_windows(_OUTPUT.T, _padded(gradient, before=0)))
    d_points = jnp.einsum("pnc,pnd->pcd", _flat(tiles), d_product)
    d_tiles = jnp.einsum("pnd,pcd->pnc", d_product, points).reshape(tiles.shape)
    d_x = _overlapped(_INPUT, d_tiles)[:, 1 : height + 1, 1 : width + 1]
    return d_x, d_points


_winograd_points.defvjp(_winograd_forward, _winograd_backward)


def _padded(x: jax.Array, before: int) -> jax.Array:
    """Pad both axes with zeros, `before` of them in front and as many behind as fill the last tile's step."""
    pads = [(before, before + -length % _STEP) for length in x.shape[1:3]]
    return jnp.pad(x, [(0, 0), *pads, (0, 0)])


def _flat(tiles: jax.Array) -> jax.Array:
    """Put all tiles on one axis: [6, 6, B, rows, columns, C] -> [36, n, C]."""
    return tiles.reshape(_TILE**2, -1, tiles.shape[-1])


def _windows(matrix: np.ndarray, x: jax.Array) -> jax.Array:
    """Cut [B, H, W, C] into windows of w x w pixels, which a matrix [6, w] turns into tiles.

    Returns:
        [6, 6, B, rows, columns, C].
    """
    size = matrix.shape[1]
    for axis in (1, 3):
        last = x.shape[axis] - size
        parts = [lax.slice_in_dim(x, i, i + last + 1, _STEP, axis) for i in range(size)]
        x = jnp.stack(_mixed(matrix, parts))
    return x.swapaxes(0, 1)


def _overlapped(matrix: np.ndarray, tiles: jax.Array) -> jax.Array:
    """Transpose `_windows`: add up the overlapping windows of tiles [6, 6, B, rows, columns, C].

    Returns:
        [B, 4 rows + 4, 4 columns + 4, C]; behind the last window are zeros.
    """
    x = tiles.swapaxes(0, 1)
    for axis in (3, 1):
        first, second, third, fourth, *beyond = _mixed(matrix.T, list(x))
        pad = [[(0, int(i == axis)) for i in range(first.ndim)], [(int(i == axis), 0) for i in range(first.ndim)]]
        parts = [jnp.pad(part, pad[0]) for part in (first, second, third, fourth)]
        parts[:2] = [part + jnp.pad(more, pad[1]) for part, more in zip(parts, beyond, strict=False)]
        x = jnp.stack(parts, axis + 1)
        x = x.reshape(*x.shape[:axis], -1, *x.shape[axis + 2 :])
    return x


def _mixed(matrix: np.ndarray, parts: Sequence[jax.Array]) -> list[jax.Array]:
    """Multiply a small constant matrix with a vector of arrays."""
    zero = jnp.float32(0)
    return [sum((float(w) * part for w, part in zip(row, parts, strict=True) if w), zero) for row in matrix]


@jax.custom_vjp
def _from_one_channel(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return _direct(x, kernel, _padding(kernel))


def _from_one_channel_backward(residuals, gradient):
    x, kernel = residuals
    (d_kernel,) = jax.linear_transpose(lambda kernel: _direct(x, kernel, _padding(kernel)), kernel)(gradient)
    return _shifted_sum(gradient, _turned(kernel), _far_padding(kernel)), d_kernel


_from_one_channel.defvjp(lambda x, kernel: (_from_one_channel(x, kernel), (x, kernel)), _from_one_channel_backward)


@jax.custom_vjp
def _to_one_channel(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return _shifted_sum(x, kernel, _padding(kernel))


def _to_one_channel_backward(residuals, gradient):
    x, kernel = residuals
    turned = _turned(kernel)
    (d_turned,) = jax.linear_transpose(lambda turned: _direct(gradient, turned, _far_padding(kernel)), turned)(x)
    return _direct(gradient, turned, _far_padding(kernel)), _turned(d_turned)


_to_one_channel.defvjp(lambda x, kernel: (_to_one_channel(x, kernel), (x, kernel)), _to_one_channel_backward)


def _padding(kernel: jax.Array) -> tuple[int, int]:
    return (kernel.shape[0] - 1) // 2, (kernel.shape[1] - 1) // 2


def _far_padding(kernel: jax.Array) -> tuple[int, int]:
    """Return the padding with which the turned kernel transposes a convolution."""
    return kernel.shape[0] // 2, kernel.shape[1] // 2


def _turned(kernel: jax.Array) -> jax.Array:
    """Turn a kernel by half a circle, its input and output channels exchanged."""
    return kernel[::-1, ::-1].swapaxes(2, 3)


def _shifted_sum(x: jax.Array, kernel: jax.Array, padding: Sequence[int]) -> jax.Array:
    """Convolve down to one channel: one matrix product to a plane for each tap, then shifted adds."""
    height, width = kernel.shape[:2]
    planes = jnp.einsum("kc,bhwc->kbhw", kernel.reshape(-1, kernel.shape[2]), x)
    planes = planes.reshape(height, width, *x.shape[:3])
    planes = jnp.pad(planes, [(0, 0), (0, 0), (0, 0), *((pad, pad) for pad in padding)])
    rows, columns = planes.shape[3] - height + 1, planes.shape[4] - width + 1
    zero = jnp.float32(0)
    planes = sum((planes[i, :, :, i : i + rows] for i in range(height)), zero)
    return sum((planes[j, :, :, j : j + columns] for j in range(width)), zero)[..., None]
