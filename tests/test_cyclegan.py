import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gst_jax import config
from gst_jax.data import PARTS
from gst_jax.learning import cyclegan, losses, models
from gst_jax.learning.models import networks

SMOKE = config.load("configs/smoke.toml")
FRAMES = config.load(
    "configs/frames.toml", ["model.channels=8", "model.discriminator_channels=4", "training.precision=float32"]
)
PLAYERS = ("generator", "discriminator")


def batch_of(rng, size=2, frames=126, mels=64):
    return {name: rng.normal(size=(size, frames, mels)).astype(np.float32) for name in PARTS}


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def assert_trees_equal(x, y):
    for (path, left), right in zip(jax.tree.leaves_with_path(x), jax.tree.leaves(y), strict=True):
        np.testing.assert_array_equal(np.asarray(left), np.asarray(right), err_msg=jax.tree_util.keystr(path))


@pytest.fixture(scope="module")
def compiled():
    """Compile the smoke model's step once for all tests here."""
    state = cyclegan.init_state(SMOKE)
    batch = batch_of(np.random.default_rng(0))
    return cyclegan.train_step.lower(state, batch, SMOKE).compile()


def test_parameter_counts():
    cpu = jax.eval_shape(lambda: cyclegan.init_state(config.load("configs/pictures.toml"))).parameters
    # 7x7, two 3x3 down, 4 blocks of two 3x3 at 128, two 3x3 up, 7x7 with bias
    generator = 49 * 32 + 9 * (32 * 64 + 64 * 128) + 8 * 9 * 128**2 + 9 * (128 * 64 + 64 * 32) + 49 * 32 + 1
    discriminator = 16 * (32 + 32 * 64 + 64 * 128 + 128 * 256 + 256) + 32 + 1
    assert count(cpu["generator"]["ab"]) == count(cpu["generator"]["ba"]) == generator == 1_367_105
    assert count(cpu["discriminator"]["a"]) == count(cpu["discriminator"]["b"]) == discriminator == 692_769
    assert count(cpu) == 4_119_748
    full = jax.eval_shape(lambda: cyclegan.init_state(config.load("configs/full.toml"))).parameters
    assert count(full) == 28_244_356
    frames = jax.eval_shape(lambda: cyclegan.init_state(config.load("configs/frames.toml"))).parameters
    assert count(frames) == 4_128_834


@pytest.mark.parametrize("settings", [SMOKE, FRAMES], ids=["2-D", "1-D"])
@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 63, 126, 127, 128, 250])
def test_any_number_of_frames_comes_back(frames, settings):
    state = cyclegan.abstract_state(settings)
    mels = settings.audio.n_mels
    x = jax.ShapeDtypeStruct((3, frames, mels), jnp.float32)
    y = jax.eval_shape(lambda g, x: cyclegan.translate(g, settings.model, x), state.parameters["generator"]["ab"], x)
    assert y.shape == (3, frames, mels)


@pytest.mark.parametrize("settings", [SMOKE, FRAMES], ids=["2-D", "1-D"])
def test_untrained_residual_generator_is_nearly_the_identity(settings):
    state = cyclegan.init_state(settings)
    x = np.random.default_rng(0).normal(size=(1, 20, settings.audio.n_mels)).astype(np.float32)
    y = jax.jit(cyclegan.translate, static_argnums=1)(state.ema["ab"], settings.model, x)
    difference = np.abs(np.asarray(y) - x).max()
    assert 0 < difference < 0.1


@pytest.mark.parametrize("overrides", [[], ["model.residual_blocks=7"], ["model.transport_taps=0"]])
def test_a_frame_generator_sees_as_many_frames_as_its_context_says(overrides):
    settings = config.load(overrides=["model.channels=8", *overrides])
    rng = np.random.default_rng(0)
    generator = jax.tree.map(  # all positive, so that no rectifier hides what lies behind it
        lambda leaf: rng.uniform(size=leaf.shape).astype(np.float32) / leaf.size,
        cyclegan.init_state(settings).ema["ab"],
    )
    x = rng.uniform(size=(1, 300, settings.audio.n_mels)).astype(np.float32)
    slope = jax.grad(lambda x: cyclegan.translate(generator, settings.model, x)[:, 148:152].sum())(x)
    seen = np.flatnonzero(np.asarray(slope).any(axis=(0, 2)))
    reach = max(148 - seen[0], seen[-1] - 151)
    assert reach <= models.context(settings.model) <= reach + 2


@pytest.mark.parametrize("name", ["smoke", "frames"])
def test_gradient_penalty_is_the_squared_slope_of_the_scores(name):
    """Its own derivative agrees with differences of the loss, tiny ones: leaky rectifiers make it jump."""
    overrides = ["model.discriminator_channels=4", "loss.gradient_penalty=0.5", "training.precision=float32"]
    settings = config.load(f"configs/{name}.toml", overrides)
    mels = settings.audio.n_mels
    batch, fakes = (batch_of(np.random.default_rng(seed), mels=mels) for seed in (8, 9))
    discriminator = cyclegan.init_state(settings).parameters["discriminator"]
    loss = jax.jit(cyclegan.discriminator_loss, static_argnums=3)
    total, metrics = loss(discriminator, batch, fakes, settings)
    assert float(total) == pytest.approx(
        float(sum(metrics[f"discriminator/{genre}"] + 0.25 * metrics[f"penalty/{genre}"] for genre in "ab")), rel=1e-5
    )
    score = networks(settings.model)[1].apply
    slope = jax.jit(jax.grad(lambda x: score({"params": discriminator["a"]}, x).sum()))(batch["real_a"])
    assert float(metrics["penalty/a"]) == pytest.approx(float(np.square(slope).sum() / 2), rel=1e-4)

    def total_of(part):
        return cyclegan.discriminator_loss(part, batch, fakes, settings)[0]

    with jax.enable_x64(True):
        discriminator, batch, fakes = (
            jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), tree) for tree in (discriminator, batch, fakes)
        )
        gradient = jax.jit(jax.grad(total_of))(discriminator)
        length = np.sqrt(sum(float(jnp.square(leaf).sum()) for leaf in jax.tree.leaves(gradient)))
        up, down = (
            float(total_of(jax.tree.map(lambda p, g, step=step: p + step / length * g, discriminator, gradient)))
            for step in (1e-6, -1e-6)
        )
    assert (up - down) / 2e-6 == pytest.approx(length, rel=1e-4)


def test_a_step_of_the_frame_networks_moves_all_but_their_transports():
    state = cyclegan.init_state(FRAMES)
    before = jax.tree.map(np.array, state.parameters)
    state, metrics = cyclegan.train_step(state, batch_of(np.random.default_rng(10), mels=FRAMES.audio.n_mels), FRAMES)
    assert int(state.updates) == 1 and all(np.isfinite(float(value)) for value in metrics.values())
    for (path, old), new in zip(jax.tree.leaves_with_path(before), jax.tree.leaves(state.parameters), strict=True):
        name = jax.tree_util.keystr(path)
        assert (np.abs(old - np.asarray(new)).max() > 0) == ("transport" not in name), name


def test_initial_state_is_a_function_of_the_seed():
    other = dataclasses.replace(SMOKE, training=dataclasses.replace(SMOKE.training, seed=1))
    assert_trees_equal(cyclegan.init_state(SMOKE), cyclegan.init_state(SMOKE))
    kernels = [
        np.asarray(cyclegan.init_state(settings).parameters["generator"]["ab"]["Conv_0"]["kernel"])
        for settings in (SMOKE, other)
    ]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01
    assert kernels[0].std() == pytest.approx(0.02, rel=0.2)


@pytest.mark.parametrize("settings", [SMOKE, FRAMES], ids=["2-D", "1-D"])
def test_an_abstract_state_draws_nothing_and_has_the_shapes(settings, monkeypatch):
    def shape_of(leaf):
        return leaf.shape, leaf.dtype

    made = jax.tree.map(shape_of, cyclegan.init_state(settings))
    monkeypatch.setattr(np.random, "default_rng", None)  # what draws would fail
    assert jax.tree.map(shape_of, cyclegan.abstract_state(settings)) == made


def test_losses_by_hand():
    assert losses.least_squares(jnp.array([[0.0, 3.0]]), 1.0) == pytest.approx((1 + 4) / 2)
    assert losses.logistic(jnp.array([0.0, 2.0]), 1.0) == pytest.approx((np.log(2) + np.log1p(np.exp(-2))) / 2)
    assert losses.logistic(jnp.array([2.0]), 0.0) == pytest.approx(np.log1p(np.exp(2)))
    assert losses.absolute_error(jnp.array([1.0, -2.0]), jnp.array([0.0, 2.0])) == pytest.approx(2.5)


def test_step_counts_batches_and_updates(compiled):
    rng = np.random.default_rng(1)
    state = cyclegan.init_state(SMOKE)
    for step in range(1, 10):
        state, _ = compiled(state, batch_of(rng))
        assert int(state.step) == step
        assert int(state.updates) == step // 4
    assert int(state.skipped) == 0


def test_metrics_are_the_losses_of_the_parameters_before_the_step(compiled):
    batch = batch_of(np.random.default_rng(2))
    state = cyclegan.init_state(SMOKE)
    p = state.parameters
    total, (parts, fakes) = jax.jit(cyclegan.generator_loss, static_argnums=3)(
        p["generator"], p["discriminator"], batch, SMOKE
    )
    expected = parts["generator/adversarial"] + 2 * parts["generator/cycle"] + 0.5 * parts["generator/identity"]
    assert float(total) == pytest.approx(float(expected), rel=1e-5)
    d_total, d_parts = jax.jit(cyclegan.discriminator_loss, static_argnums=3)(p["discriminator"], batch, fakes, SMOKE)
    assert float(d_total) == pytest.approx(sum(map(float, d_parts.values())), rel=1e-5)
    _, metrics = compiled(state, batch)
    for name, value in (parts | d_parts).items():
        assert float(metrics[name]) == pytest.approx(float(value), rel=1e-4), name


def test_accumulation_equals_big_batch(compiled):
    """Micro-batches of 2 accumulate the gradient of one batch of 6 (mean of means, instance norm per example)."""
    rng = np.random.default_rng(3)
    micro = [batch_of(rng) for _ in range(3)]
    big = {name: np.concatenate([part[name] for part in micro]) for name in PARTS}
    state = cyclegan.init_state(SMOKE)
    whole = gradient_of(state.parameters, big)
    for part in micro:
        state, _ = compiled(state, part)
    _, unravel = jax.flatten_util.ravel_pytree(whole)
    accumulated = jax.tree.leaves_with_path(unravel(state.opt_state.inner_state.acc_grads))
    for (path, x), y in zip(accumulated, jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(x, y, atol=2e-4 * np.abs(y).max(), err_msg=jax.tree_util.keystr(path))


@jax.jit
def gradient_of(parameters, batch):
    """Both players' gradients, spelled out independently of the train step."""
    (_, (_, fakes)), generator = jax.value_and_grad(cyclegan.generator_loss, has_aux=True)(
        parameters["generator"], parameters["discriminator"], batch, SMOKE
    )
    discriminator, _ = jax.grad(cyclegan.discriminator_loss, has_aux=True)(
        parameters["discriminator"], batch, fakes, SMOKE
    )
    return {"generator": generator, "discriminator": discriminator}


def test_update_is_adam_on_the_mean_gradient(compiled):
    rng = np.random.default_rng(4)
    micro = [batch_of(rng) for _ in range(4)]
    before = cyclegan.init_state(SMOKE).parameters
    mean = jax.tree.map(lambda *g: sum(g) / 4, *[gradient_of(before, part) for part in micro])
    state = cyclegan.init_state(SMOKE)
    for part in micro:
        state, _ = compiled(state, part)
    # Adam's first step by hand: learning rate times the sign, softened by epsilon (Kingma & Ba 2015, algorithm 1)
    for (path, g), old, new in zip(
        jax.tree.leaves_with_path(mean), jax.tree.leaves(before), jax.tree.leaves(state.parameters), strict=True
    ):
        clear = np.abs(g) > 1e-3 * np.abs(g).max()  # elsewhere rounding decides the sign
        expected = -1e-4 * np.asarray(g) / (np.abs(g) + 1e-8)
        np.testing.assert_allclose(
            (np.asarray(new) - np.asarray(old))[clear], expected[clear], atol=2e-6, err_msg=jax.tree_util.keystr(path)
        )


def test_average_warms_up_and_counts_updates(compiled):
    rng = np.random.default_rng(5)
    state = cyclegan.init_state(SMOKE)
    expected = jax.tree.map(np.asarray, state.ema)
    for step in range(1, 9):
        state, _ = compiled(state, batch_of(rng))
        if step % 4 == 0:
            update = step // 4
            decay = min(SMOKE.training.ema_decay, update / (update + 9))
            new = jax.tree.map(np.asarray, state.parameters["generator"])
            expected = jax.tree.map(lambda old, new, d=decay: d * old + (1 - d) * new, expected, new)
        for x, y in zip(jax.tree.leaves(state.ema), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(x, y, atol=1e-7)


def test_a_batch_that_is_not_finite_changes_nothing_and_is_counted(compiled):
    rng = np.random.default_rng(6)
    state = cyclegan.init_state(SMOKE)
    for _ in range(2):
        state, _ = compiled(state, batch_of(rng))
    kept = jax.tree.map(np.array, (state.parameters, state.ema, state.opt_state.inner_state.acc_grads))
    bad = batch_of(rng)
    bad["a"][0, 0, 0] = np.nan
    state, _ = compiled(state, bad)
    assert int(state.skipped) == 1 and int(state.step) == 3 and int(state.opt_state.inner_state.mini_step) == 2
    assert_trees_equal((state.parameters, state.ema, state.opt_state.inner_state.acc_grads), kept)


@pytest.fixture(scope="module")
def compiled_frames():
    """Compile the step of small frame networks, one batch an update."""
    batch = batch_of(np.random.default_rng(0), frames=32, mels=FRAMES.audio.n_mels)
    return cyclegan.train_step.lower(cyclegan.init_state(FRAMES), batch, FRAMES).compile()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", PARTS)
def test_a_number_that_is_not_finite_changes_nothing_wherever_it_comes_in(compiled_frames, part, bad):
    batch = batch_of(np.random.default_rng(7), frames=32, mels=FRAMES.audio.n_mels)
    state, _ = compiled_frames(cyclegan.init_state(FRAMES), batch)
    adam = state.opt_state.inner_state.inner_opt_state
    kept = jax.tree.map(np.array, (state.parameters, state.ema, adam))
    batch[part][1, 2, 7] = bad
    state, _ = compiled_frames(state, batch)
    assert int(state.skipped) == 1 and int(state.step) == 2 and int(state.updates) == 1
    assert_trees_equal((state.parameters, state.ema, state.opt_state.inner_state.inner_opt_state), kept)


@pytest.mark.parametrize("accumulation_steps", [1, 2])
@pytest.mark.parametrize("bad", [2e19, -1e30])
def test_a_gradient_whose_square_is_not_finite_is_skipped(accumulation_steps, bad):
    """It would stay in Adam's average of squares, and its parameter as it is."""
    optimizer = cyclegan.make_optimizer(dataclasses.replace(SMOKE.training, accumulation_steps=accumulation_steps))
    parameters = {"generator": {"layer": {"kernel": jnp.ones((2, 3))}}}
    before = optimizer.init(parameters)
    gradient = {"generator": {"layer": {"kernel": np.float32([[1, -2, bad], [3, 1, 0]])}}}
    change, after = optimizer.update(gradient, before, parameters)
    assert not np.any(change["generator"]["layer"]["kernel"])
    assert after.inner_state.skip_state["should_skip"]
    assert_trees_equal(after.inner_state.inner_opt_state, before.inner_state.inner_opt_state)


def test_an_update_at_once_is_that_of_multisteps():
    """Of `optax.MultiSteps` with one step to an update, also where a gradient is not finite."""
    training = dataclasses.replace(SMOKE.training, accumulation_steps=1)
    parameters = {"generator": {"layer": {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.ones(3)}}}
    ours = cyclegan.make_optimizer(training)
    adam = optax.adam(training.learning_rate, b1=training.beta1, b2=training.beta2)
    steps = optax.MultiSteps(adam, 1, should_skip_update_fn=optax.skip_not_finite)
    theirs = optax.flatten(steps.gradient_transformation())
    our_state, their_state = ours.init(parameters), theirs.init(parameters)
    rng = np.random.default_rng(3)
    for bad in (None, None, np.nan, None, -np.inf, None):
        gradient = jax.tree.map(lambda x: rng.standard_normal(x.shape).astype(np.float32), parameters)
        if bad is not None:
            gradient["generator"]["layer"]["bias"][1] = bad
        our_change, our_state = ours.update(gradient, our_state, parameters)
        their_change, their_state = theirs.update(gradient, their_state, parameters)
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), our_change, their_change)
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), our_state.inner_state, their_state)
        assert int(their_state.gradient_step) == int(our_state.inner_state.gradient_step)


def test_products_of_rounded_factors_learn_alike():
    """Gradients in bfloat16 point where those in float32 do, but for the signs of errors near zero."""
    batch = batch_of(np.random.default_rng(9), mels=FRAMES.audio.n_mels)
    found = []
    for precision in ("float32", "bfloat16"):
        settings = dataclasses.replace(FRAMES, training=dataclasses.replace(FRAMES.training, precision=precision))
        generator, discriminator = (cyclegan.init_parameters(settings)[player] for player in PLAYERS)
        (loss, (_, fakes)), gradient = jax.value_and_grad(cyclegan.generator_loss, has_aux=True)(
            generator, discriminator, batch, settings
        )
        (other, _), slope = jax.value_and_grad(cyclegan.discriminator_loss, has_aux=True)(
            discriminator, batch, fakes, settings
        )
        leaves = jax.tree.leaves((gradient, slope, loss, other))
        assert {leaf.dtype for leaf in leaves} == {jnp.dtype("float32")}
        slopes = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(part)]) for part in (gradient, slope))
        found.append([*slopes, np.array([loss, other])])
    for exact, rounded in zip(*found, strict=True):
        assert 0.99 < exact @ rounded / np.linalg.norm(exact) / np.linalg.norm(rounded) < 1
    np.testing.assert_allclose(found[1][2], found[0][2], rtol=0.01)


@pytest.mark.slow
def test_20000_updates_stay_finite(compiled_frames):
    """On batches of which two in a hundred hold NaN or infinity; these are skipped and counted."""
    rng = np.random.default_rng(10)
    batches = [batch_of(rng, frames=32, mels=FRAMES.audio.n_mels) for _ in range(100)]
    batches[17]["a"][0, 3, 5], batches[58]["real_b"][1, 2, 7] = np.nan, np.inf
    state = cyclegan.init_state(FRAMES)
    for number in range(20_400):
        state, _ = compiled_frames(state, batches[number % 100])
    assert int(state.skipped) == 408 and int(state.updates) == 19_992
    for path, leaf in jax.tree.leaves_with_path((state.parameters, state.ema)):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() < 100, jax.tree_util.keystr(path)


@pytest.mark.slow
def test_learning_reduces_the_cycle_loss():
    changes = ["training.accumulation_steps=1", "training.learning_rate=1e-3", "loss.adversarial=0"]
    settings = config.load("configs/smoke.toml", [*changes, "model.residual=false"])
    batch = batch_of(np.random.default_rng(8))
    batch = {name: np.repeat(part[:, :1], 126, axis=1) for name, part in batch.items()}  # learnable: constant in time
    state = cyclegan.init_state(settings)
    cycle = []
    for _ in range(60):
        state, metrics = cyclegan.train_step(state, batch, settings)
        cycle.append(float(metrics["generator/cycle"]))
    assert np.mean(cycle[-5:]) < 0.7 * np.mean(cycle[:5])
