import functools

import jax
import numpy as np
import pytest
from jax import lax
from jax import numpy as jnp

from gst_jax.learning.convolution import conv2d, instance_norm, upsample_conv2d
from gst_jax.learning.convolution_1d import conv1d

# Rounding, as the largest error over the largest value. Sums in float32 err by about 1e-6; Winograd's transforms,
# whose weights reach 8 and 1/24, by about ten times as much.
PLAIN, WINOGRAD = 5e-6, 5e-5

LAYERS = {  # x shape, kernel shape, stride, tolerance: every layer of configs/pictures.toml, then odd shapes
    "generator input": ((2, 128, 64, 1), (7, 7, 1, 32), 1, PLAIN),
    "generator down 1": ((2, 128, 64, 32), (3, 3, 32, 64), 2, PLAIN),
    "generator down 2": ((2, 64, 32, 64), (3, 3, 64, 128), 2, PLAIN),
    "generator residual": ((4, 32, 16, 128), (3, 3, 128, 128), 1, WINOGRAD),
    "generator output": ((2, 128, 64, 32), (7, 7, 32, 1), 1, PLAIN),
    "discriminator 1": ((2, 126, 64, 1), (4, 4, 1, 32), 2, PLAIN),
    "discriminator 2": ((2, 63, 32, 32), (4, 4, 32, 64), 2, PLAIN),
    "discriminator 4": ((4, 15, 8, 128), (4, 4, 128, 256), 1, PLAIN),
    "discriminator output": ((4, 14, 7, 256), (4, 4, 256, 1), 1, PLAIN),
    "odd Winograd": ((3, 13, 7, 40), (3, 3, 40, 33), 1, WINOGRAD),
    "one pixel": ((1, 1, 1, 32), (3, 3, 32, 32), 1, WINOGRAD),
    "few channels": ((2, 9, 5, 3), (3, 3, 3, 2), 1, PLAIN),
    "oblong from one channel": ((2, 9, 11, 1), (3, 5, 1, 4), 1, PLAIN),
    "even to one channel": ((2, 9, 11, 5), (4, 2, 5, 1), 1, PLAIN),
    "one channel to one": ((1, 6, 5, 1), (3, 3, 1, 1), 1, PLAIN),
}
UPSAMPLED = {
    "generator up 1": ((2, 32, 16, 128), (3, 3, 128, 64), WINOGRAD),
    "generator up 2": ((2, 64, 32, 64), (3, 3, 64, 32), WINOGRAD),
    "odd": ((3, 5, 7, 6), (3, 3, 6, 3), PLAIN),
}


@pytest.fixture
def normal():
    rng = np.random.default_rng(0)
    return lambda shape: rng.standard_normal(shape).astype(np.float32)


def reference(x, kernel, stride=1):
    """The convolution as XLA defines it, in float64 where enabled."""
    pads = [((size - 1) // 2,) * 2 for size in kernel.shape[:2]]
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (stride, stride), pads, dimension_numbers=layout)


def upsampled_reference(x, kernel):
    return reference(x.repeat(2, axis=1).repeat(2, axis=2), kernel)


def assert_same_with_gradients(function, expected, x, kernel, normal, tolerance):
    """Compare the value and both gradients with a float64 computation."""
    gradient = normal(jax.eval_shape(function, x, kernel).shape)
    y, pullback = jax.vjp(function, x, kernel)
    results = dict(zip(("value", "input", "kernel"), (y, *pullback(gradient)), strict=True))
    with jax.enable_x64(True):
        wide = [jnp.asarray(array, jnp.float64) for array in (x, kernel, gradient)]
        y, pullback = jax.vjp(expected, *wide[:2])
        truths = (y, *pullback(wide[2]))
        for (name, result), truth in zip(results.items(), truths, strict=True):
            error = np.abs(np.asarray(result, np.float64) - truth).max() / np.abs(truth).max()
            assert result.dtype == jnp.float32
            assert error < tolerance, f"{name}: {error:.1e}"


@pytest.mark.parametrize("name", LAYERS)
def test_convolution_equals_its_definition_with_both_gradients(name, normal):
    x_shape, kernel_shape, stride, tolerance = LAYERS[name]
    assert_same_with_gradients(
        jax.jit(lambda x, kernel: conv2d(x, kernel, stride)),
        lambda x, kernel: reference(x, kernel, stride),
        normal(x_shape),
        normal(kernel_shape),
        normal,
        tolerance,
    )


@pytest.mark.parametrize("name", UPSAMPLED)
def test_upsampling_equals_nearest_neighbour_then_convolution(name, normal):
    x_shape, kernel_shape, tolerance = UPSAMPLED[name]
    assert_same_with_gradients(
        jax.jit(upsample_conv2d), upsampled_reference, normal(x_shape), normal(kernel_shape), normal, tolerance
    )


@pytest.mark.parametrize(("backend", "direct"), [("cpu", False), ("gpu", True), ("tpu", True)])
def test_off_the_cpu_convolutions_are_the_compiler_s_own(monkeypatch, normal, backend, direct):
    """What is fast and exact on XLA:CPU is neither on a GPU, where float32 products are rounded to TF32."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    traced = jax.make_jaxpr(lambda x, kernel: conv2d.__wrapped__(x, kernel))  # anew for each backend
    program = str(traced(normal((1, 10, 12, 32)), normal((3, 3, 32, 32))))
    assert ("conv_general_dilated" in program) is direct
    assert ("dot_general" in program) is not direct


def test_padding_is_as_published_for_patchgan():
    """Padding 1 with a 4x4 kernel: by hand on a line of ones, each output counts the ones under its kernel."""
    y = conv2d(np.ones((1, 5, 5, 1), np.float32), np.ones((4, 4, 1, 1), np.float32))
    np.testing.assert_allclose(y[0, :, :, 0], np.outer([3, 4, 4, 3], [3, 4, 4, 3]), atol=1e-6)


def test_outer_frames_do_not_leak_into_the_middle(normal):
    """A huge value in one corner of the input changes only the outputs that its kernel reaches."""
    x, kernel = normal((1, 16, 16, 32)), normal((3, 3, 32, 32))
    spiked = x.copy()
    spiked[0, 0, 0, 0] = 100.0
    difference = np.abs(conv2d(spiked, kernel) - conv2d(x, kernel)).max(axis=(0, 3))
    assert difference[:2, :2].min() > 1
    difference[:2, :2] = 0
    assert difference.max() < 1e-2


def test_gradient_of_a_batch_is_the_sum_over_its_examples(normal):
    x, kernel, gradient = normal((3, 8, 8, 32)), normal((3, 3, 32, 32)), normal((3, 8, 8, 32))
    pull = jax.jit(lambda x, gradient: jax.vjp(lambda kernel: conv2d(x, kernel), kernel)[1](gradient)[0])
    together = pull(x, gradient)
    apart = sum(pull(x[i : i + 1], gradient[i : i + 1]) for i in range(3))
    np.testing.assert_allclose(together, apart, atol=2e-4 * np.abs(apart).max())


def test_shared_kernel_collects_the_gradient_of_both_uses(normal):
    """As in the cycle, where one generator runs twice in one loss."""
    x, kernel = normal((1, 8, 8, 32)), normal((3, 3, 32, 32)) / 17

    def loss(convolve):
        return lambda kernel: jnp.sum(convolve(convolve(x, kernel), kernel))

    ours, truth = jax.jit(jax.grad(loss(conv2d)))(kernel), jax.grad(loss(reference))(kernel)
    np.testing.assert_allclose(ours, truth, atol=1e-4 * np.abs(truth).max())


@pytest.mark.parametrize("negative_slope", [1.0, 0.0, 0.2])
def test_instance_norm_equals_hand_arithmetic_with_its_gradient(negative_slope, normal):
    x, gradient = normal((2, 6, 5, 3)) * 3 + 1, normal((2, 6, 5, 3))

    def expected(x):
        mean, deviation = x.mean((1, 2), keepdims=True), jnp.sqrt(x.var((1, 2), keepdims=True) + 1e-5)
        return jax.nn.leaky_relu((x - mean) / deviation, negative_slope)

    y, pullback = jax.vjp(lambda x: instance_norm(x, negative_slope), x)
    truth, truth_pullback = jax.vjp(expected, x)
    np.testing.assert_allclose(y, truth, atol=1e-5)
    np.testing.assert_allclose(pullback(gradient)[0], truth_pullback(gradient)[0], atol=1e-5)


@pytest.mark.parametrize(
    ("frames", "size", "stride"), [(7, 5, 1), (8, 4, 2), (9, 4, 2), (1, 3, 1), (6, 3, 3), (4, 1, 2)]
)
def test_convolution_over_time_equals_its_definition(frames, size, stride, normal):
    """Also in its derivatives of first and second order."""
    x, kernel = normal((2, frames, 3)), normal((size, 3, 4))

    def expected(x, kernel):
        padded = jnp.pad(x, [(0, 0), ((size - 1) // 2, size // 2), (0, 0)])
        starts = range(0, frames, stride)
        return jnp.stack([jnp.einsum("bkc,kcd->bd", padded[:, i : i + size], kernel) for i in starts], axis=1)

    ours = functools.partial(conv1d, stride=stride)
    np.testing.assert_allclose(ours(x, kernel), expected(x, kernel), atol=1e-5)
    for found, truth in zip(slopes(ours, x, kernel), slopes(expected, x, kernel), strict=True):
        assert np.linalg.norm(found - truth) < PLAIN * np.linalg.norm(truth)


def test_a_convolution_of_rounded_factors_sums_in_float32(normal):
    """Beside one whose factors were rounded before: values and derivatives of first and second order."""
    x, kernel = normal((2, 12, 3)), normal((4, 3, 5))
    rounded = jnp.asarray(x, jnp.bfloat16).astype(jnp.float32), jnp.asarray(kernel, jnp.bfloat16).astype(jnp.float32)
    np.testing.assert_allclose(conv1d(x, kernel, 2, jnp.bfloat16), conv1d(*rounded, 2), atol=1e-5)
    both = (
        slopes(functools.partial(conv1d, stride=2, dtype=dtype), x, kernel) for dtype in (jnp.bfloat16, jnp.float32)
    )
    for found, exact in zip(*both, strict=True):
        assert found.dtype == jnp.float32
        assert np.linalg.norm(found - exact) < 0.01 * np.linalg.norm(exact)


def slopes(function, x, kernel):
    """Return the derivatives of a convolution's square by both factors, then those of their squares."""
    first = jax.grad(lambda x, kernel: jnp.square(function(x, kernel)).sum(), (0, 1))
    second = jax.grad(lambda x, kernel: sum(jnp.square(part).sum() for part in first(x, kernel)), (0, 1))
    return *first(x, kernel), *second(x, kernel)
