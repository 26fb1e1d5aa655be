"""Convolve over time by matrix products of shifted copies, in float32 or of factors rounded to bfloat16.

A convolution y of x with a kernel, its derivative by x (the transposed convolution) and that by the kernel are what a
sum of products of the three leaves when one of them is taken away:

    sum over b, t, i, c, d of  y[b, t, d]  x[b, stride t + i, c]  kernel[i, c, d]

So each is a matrix product, and the derivatives of each, of any order, are the two others.

XLA:CPU moves bfloat16 about by way of float32, and multiplies it in bfloat16 only where the first matrix lies row by
row. So the copies are moved as whole numbers of 16 bits, and those for the kernel's derivative are made of the
transposed input.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

DType = Any  # of NumPy or JAX


@functools.partial(jax.jit, static_argnames=("stride", "dtype"))
def conv1d(x: jax.Array, kernel: jax.Array, stride: int = 1, dtype: DType = jnp.float32) -> jax.Array:
    """Convolve over time with zero padding that keeps the length at stride 1.

    Args:
        x: [B, T, C].
        kernel: [k, C, D].
        stride: of the frames.
        dtype: to which factors are rounded, here and in the derivatives; their products are summed in float32.

    Returns:
        [B, ceil(T / stride), D].
    """
    size, frames = kernel.shape[0], -(-x.shape[1] // stride)
    before = (size - 1) // 2
    after = (frames - 1) * stride + size - before - x.shape[1]  # may be negative
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (before, after, 0), (0, 0, 0)))
    return _convolved(x, kernel, stride, dtype)


@functools.lru_cache(maxsize=1)
def multiplies_bfloat16() -> bool:
    """Tell whether JAX computes on a CPU that multiplies matrices in bfloat16 faster than in float32."""
    if jax.default_backend() != "cpu" or not (about := Path("/proc/cpuinfo")).exists():
        return False
    flags = re.search(r"^flags\s*:(.*)$", about.read_text(encoding="utf-8"), re.MULTILINE)
    return flags is not None and not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags[1].split())


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolved(x: jax.Array, kernel: jax.Array, stride: int, dtype: DType) -> jax.Array:
    """Return y [B, T, D] of x [B, stride (T - 1) + k, C] and a kernel [k, C, D]."""
    copies = _moved(_shifted, x, dtype, kernel.shape[0], stride)
    return _product(copies, kernel.reshape(-1, kernel.shape[-1]), dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _transposed(y: jax.Array, kernel: jax.Array, stride: int, dtype: DType) -> jax.Array:
    """Return x [B, stride (T - 1) + k, C] of y [B, T, D] and a kernel [k, C, D]."""
    size, inputs, outputs = kernel.shape
    copies = _product(y, kernel.reshape(-1, outputs).T, dtype)
    x = jax.ShapeDtypeStruct((y.shape[0], stride * (y.shape[1] - 1) + size, inputs), copies.dtype)
    return jax.linear_transpose(functools.partial(_shifted, size=size, stride=stride), x)(copies)[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _correlated(x: jax.Array, y: jax.Array, stride: int, dtype: DType) -> jax.Array:
    """Return a kernel [k, C, D] of x [B, stride (T - 1) + k, C] and y [B, T, D]."""
    size = x.shape[1] - stride * (y.shape[1] - 1)
    if dtype == jnp.float32:
        copies = _shifted(x, size, stride).reshape(-1, size * x.shape[-1]).T
    else:
        copies = _moved(_shifted_transposed, x, dtype, size, stride)
    return _product(copies, y.reshape(-1, y.shape[-1]), dtype).reshape(size, x.shape[-1], y.shape[-1])


def _convolved_backward(stride, dtype, factors, gradient):
    x, kernel = factors
    return _transposed(gradient, kernel, stride, dtype), _correlated(x, gradient, stride, dtype)


def _transposed_backward(stride, dtype, factors, gradient):
    y, kernel = factors
    return _convolved(gradient, kernel, stride, dtype), _correlated(gradient, y, stride, dtype)


def _correlated_backward(stride, dtype, factors, gradient):
    x, y = factors
    return _transposed(y, gradient, stride, dtype), _convolved(x, gradient, stride, dtype)


for _function, _backward in (
    (_convolved, _convolved_backward),
    (_transposed, _transposed_backward),
    (_correlated, _correlated_backward),
):
    _function.defvjp(lambda *given, function=_function: (function(*given), given[:2]), _backward)


def _product(rows: jax.Array, columns: jax.Array, dtype: DType) -> jax.Array:
    if dtype == jnp.float32:
        return rows @ columns
    return jnp.matmul(rows.astype(dtype), columns.astype(dtype), preferred_element_type=jnp.float32)


def _moved(function: Callable[..., jax.Array], x: jax.Array, dtype: DType, *how: int) -> jax.Array:
    """Apply a function that only moves numbers to rounded ones, by their bits."""
    if dtype == jnp.float32:
        return function(x, *how)
    return lax.bitcast_convert_type(function(lax.bitcast_convert_type(x.astype(dtype), jnp.uint16), *how), dtype)


def _shifted(x: jax.Array, size: int, stride: int) -> jax.Array:
    """Return what each of so many taps sees, [B, P, C] -> [B, T, k C]."""
    return jnp.concatenate([x[:, i : x.shape[1] - size + i + 1 : stride] for i in range(size)], axis=2)


def _shifted_transposed(x: jax.Array, size: int, stride: int) -> jax.Array:
    """Return the same with a column for each frame, [B, P, C] -> [k C, B T]."""
    x = x.transpose(2, 0, 1)
    copies = jnp.concatenate([x[..., i : x.shape[2] - size + i + 1 : stride] for i in range(size)])
    return copies.reshape(copies.shape[0], -1)
