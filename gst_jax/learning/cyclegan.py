"""Train a pair of generators against a pair of discriminators: the pure core, without IO."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp
import optax
from flax import struct

from gst_jax.config import Config, ModelConfig, TrainingConfig
from gst_jax.data import PARTS
from gst_jax.learning import losses
from gst_jax.learning.convolution_1d import DType, multiplies_bfloat16
from gst_jax.learning.models import TRANSPORT, Parameters, draw_parameters, networks

_LARGEST = 1e19  # of a gradient: half of what float32 can square


@struct.dataclass
class TrainState:
    """Everything that a checkpoint holds.

    `step` counts micro-batches, `skipped` those whose gradient was not finite. `parameters` is `{"generator":
    {"ab", "ba"}, "discriminator": {"a", "b"}}`; `ema` holds the averaged generators `{"ab", "ba"}` that convert.
    """

    step: jax.Array
    skipped: jax.Array
    parameters: Parameters
    ema: Parameters
    opt_state: optax.MaskedState

    @property
    def updates(self) -> jax.Array:
        """Updates of the parameters so far."""
        return self.opt_state.inner_state.gradient_step


def make_optimizer(training: TrainingConfig) -> optax.GradientTransformation:
    """Return Adam over the mean gradient of `accumulation_steps` micro-batches.

    One optimizer holds both players, so that their accumulators cannot drift apart. A micro-batch whose gradient is
    not finite changes nothing, and is counted. All parameters are one vector to it: a few large operations compile
    and run faster than hundreds of small ones. The transport, which is not trained, is not among them.
    """
    adam = optax.adam(training.learning_rate, b1=training.beta1, b2=training.beta2)
    steps = optax.MultiSteps(adam, training.accumulation_steps, should_skip_update_fn=_skip_not_finite)
    update = steps.update if training.accumulation_steps > 1 else functools.partial(_update_at_once, adam)
    return optax.masked(optax.flatten(optax.GradientTransformation(steps.init, update)), _trained)


def _skip_not_finite(
    gradient: jax.Array, updates: jax.Array, parameters: jax.Array | None
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Do what `optax.skip_not_finite` does, but for a count of the numbers: in one pass.

    A sum keeps what is not finite; XLA's maximum on a CPU loses it. The barrier keeps it one sum, where XLA would sum
    each of the parts that the gradient was joined of. A number whose square is not finite is skipped, too: Adam's
    average of squares would never lose it.
    """
    skip = ~(jnp.abs(jax.lax.optimization_barrier(gradient).sum()) < _LARGEST)  # also where it is NaN
    return skip, {"should_skip": skip, "num_not_finite": skip.astype(jnp.int32)}


def _update_at_once(
    adam: optax.GradientTransformation,
    gradient: jax.Array,
    state: optax.MultiStepsState,
    parameters: jax.Array | None = None,
) -> tuple[jax.Array, optax.MultiStepsState]:
    """Do what `optax.MultiSteps` does where nothing is accumulated, without its passes over the accumulator."""
    skip, skip_state = _skip_not_finite(gradient, state.gradient_step, parameters)
    changes, adam_state = adam.update(gradient, state.inner_opt_state, parameters)
    kept = jax.tree.map(functools.partial(jnp.where, skip), state.inner_opt_state, adam_state)
    next_state = state._replace(
        gradient_step=state.gradient_step + ~skip, inner_opt_state=kept, skip_state=skip_state
    )
    return jnp.where(skip, 0, changes), next_state


def init_state(config: Config) -> TrainState:
    """Return the state before the first step, a pure function of the config with its seed."""
    return start_from(init_parameters(config), config)


def init_parameters(config: Config) -> Parameters:
    """Draw all parameters, a pure function of the config with its seed."""
    seeds = {"generator": {"ab": 0, "ba": 1}, "discriminator": {"a": 2, "b": 3}}
    shapes = parameter_shapes(config)
    return {
        player: {
            key: draw_parameters(shapes[player][key], config.model, (config.training.seed, number))
            for key, number in keys.items()
        }
        for player, keys in seeds.items()
    }


def parameter_shapes(config: Config) -> Parameters:
    """Return all parameters as `jax.ShapeDtypeStruct`s."""
    example = jax.ShapeDtypeStruct((1, config.audio.segment_frames, config.audio.n_mels), jnp.float32)
    generator, discriminator = (
        jax.eval_shape(network.init, jax.random.key(0), example)["params"] for network in networks(config.model)
    )
    return {
        "generator": {"ab": generator, "ba": generator},
        "discriminator": {"a": discriminator, "b": discriminator},
    }


@functools.partial(jax.jit, static_argnames="config")
def start_from(parameters: Parameters, config: Config) -> TrainState:
    """Return the state before the first step of a run that begins with given parameters."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        skipped=jnp.zeros((), jnp.int32),
        parameters=parameters,
        ema=jax.tree.map(jnp.copy, parameters["generator"]),  # donated buffers must not be shared
        opt_state=make_optimizer(config.training).init(parameters),
    )


def abstract_state(config: Config, sharding: jax.sharding.Sharding | None = None) -> TrainState:
    """Return a state's shapes as `jax.ShapeDtypeStruct`s, drawing nothing; on the first device unless told."""
    sharding = sharding or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    shapes = jax.eval_shape(functools.partial(start_from, config=config), parameter_shapes(config))
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes)


def translate(generator: Parameters, model: ModelConfig, log_mel: jax.Array, dtype: DType = jnp.float32) -> jax.Array:
    """Convert standardised log-mels `[B, T, M]` with one generator's parameters, for any T; pure, not yet jitted."""
    return cast(jax.Array, networks(model, dtype)[0].apply({"params": generator}, log_mel))


@functools.partial(jax.jit, static_argnames="model")
def translate_levels(
    generator: Parameters,
    model: ModelConfig,
    log_mel: jax.Array,
    before: tuple[jax.Array, jax.Array],
    after: tuple[jax.Array, jax.Array],
    highest: jax.Array,
) -> jax.Array:
    """Convert log-mels in dB.

    Args:
        generator: parameters of one.
        model: its architecture; static.
        log_mel: [T, M] dB.
        before: mean and deviation of the genre that goes in, [1, M] dB each.
        after: the same of the genre that comes out.
        highest: level that no band shall exceed, [1, M] dB.

    Returns:
        [T, M] dB.
    """
    translated = translate(generator, model, ((log_mel - before[0]) / before[1])[None])[0]
    return jnp.minimum(translated * after[1] + after[0], highest)


def generator_loss(
    generator: Parameters, discriminator: Parameters, batch: dict[str, jax.Array], config: Config
) -> tuple[jax.Array, tuple[dict[str, jax.Array], dict[str, jax.Array]]]:
    """Return the generators' weighted loss with its parts and their fakes.

    Args:
        generator: parameters `{"ab", "ba"}`.
        discriminator: parameters `{"a", "b"}`.
        batch: of `data.Batches`.
        config: of the run.

    Returns:
        The scalar loss, then the metrics `{"generator/...": scalar}`, identity only where it has a weight, and the
        fakes `{"a", "b"}`, each `[B, T, M]`.
    """
    a, b, real_a, real_b = (batch[name] for name in PARTS)
    score, adversarial = functools.partial(_score, config), _adversarial(config)
    converted, weights = functools.partial(translate, model=config.model, dtype=precision(config)), config.loss
    if weights.identity > 0:
        # Conversion and identity share one call per generator: larger matrix products, same arithmetic.
        fake_b, identity_b = jnp.split(converted(generator["ab"], log_mel=jnp.concatenate([a, real_b])), 2)
        fake_a, identity_a = jnp.split(converted(generator["ba"], log_mel=jnp.concatenate([b, real_a])), 2)
    else:
        fake_b, fake_a = converted(generator["ab"], log_mel=a), converted(generator["ba"], log_mel=b)
    cycle_a = converted(generator["ba"], log_mel=fake_b)
    cycle_b = converted(generator["ab"], log_mel=fake_a)
    parts = {
        "generator/adversarial": adversarial(score(discriminator["b"], fake_b), 1.0)
        + adversarial(score(discriminator["a"], fake_a), 1.0),
        "generator/cycle": losses.absolute_error(cycle_a, a) + losses.absolute_error(cycle_b, b),
    }
    total = weights.adversarial * parts["generator/adversarial"] + weights.cycle * parts["generator/cycle"]
    if weights.identity > 0:
        parts["generator/identity"] = losses.absolute_error(identity_a, real_a) + losses.absolute_error(
            identity_b, real_b
        )
        total = total + weights.identity * parts["generator/identity"]
    return total, ({"generator/total": total, **parts}, {"a": fake_a, "b": fake_b})


def discriminator_loss(
    discriminator: Parameters, batch: dict[str, jax.Array], fakes: dict[str, jax.Array], config: Config
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Return the discriminators' loss with its metrics.

    Args:
        discriminator: parameters `{"a", "b"}`.
        batch: of `data.Batches`.
        fakes: converted log-mels `{"a", "b"}`, [B, T, M] each.
        config: of the run.
    """
    metrics = {}
    total, adversarial = jnp.float32(0), _adversarial(config)
    score = functools.partial(_score, config)
    for genre in ("a", "b"):
        if config.loss.gradient_penalty > 0:
            slope = jax.grad(lambda real, genre=genre: score(discriminator[genre], real).sum())
            metrics[f"penalty/{genre}"] = losses.squared_norm(slope(batch[f"real_{genre}"]))
            total = total + 0.5 * config.loss.gradient_penalty * metrics[f"penalty/{genre}"]
        # Apart, so that XLA computes each once for this loss, the generators' and the penalty.
        real, fake = (score(discriminator[genre], side) for side in (batch[f"real_{genre}"], fakes[genre]))
        metrics[f"discriminator/{genre}"] = 0.5 * (adversarial(real, 1.0) + adversarial(fake, 0.0))
        total = total + metrics[f"discriminator/{genre}"]
    return total, metrics


@functools.partial(jax.jit, static_argnames="config", donate_argnames="state")
def train_step(
    state: TrainState, batch: dict[str, jax.Array], config: Config
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Learn from one micro-batch.

    Both players' gradients come from the parameters before the update, and the fakes are constants to the
    discriminators, so k micro-batches equal one batch k times as large.

    Args:
        state: donated, so not to be used again.
        batch: of `data.Batches`: songs to convert and real music, `{"a", "b", "real_a", "real_b"}`, [B, T, M] each.
        config: static.

    Returns:
        The next state and scalar metrics of this micro-batch.
    """
    generator, discriminator = state.parameters["generator"], state.parameters["discriminator"]
    (_, (generator_metrics, fakes)), generator_gradient = jax.value_and_grad(generator_loss, has_aux=True)(
        generator, discriminator, batch, config
    )
    (_, discriminator_metrics), discriminator_gradient = jax.value_and_grad(discriminator_loss, has_aux=True)(
        discriminator, batch, fakes, config
    )
    gradient = {"generator": generator_gradient, "discriminator": discriminator_gradient}
    changes, opt_state = make_optimizer(config.training).update(gradient, state.opt_state, state.parameters)
    parameters = optax.apply_updates(state.parameters, changes)

    # The decay warms up (1/10, 2/11, ...), or the random start would stay in the average of a short run.
    updates = opt_state.inner_state.gradient_step
    count = updates.astype(jnp.float32)
    decay = jnp.minimum(config.training.ema_decay, count / (count + 9))
    decay = jnp.where(updates > state.updates, decay, 1.0)
    ema = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.ema, parameters["generator"])

    next_state = TrainState(
        step=state.step + 1,
        skipped=state.skipped + opt_state.inner_state.skip_state["should_skip"].astype(jnp.int32),
        parameters=parameters,
        ema=ema,
        opt_state=opt_state,
    )
    return next_state, generator_metrics | discriminator_metrics


def _trained(parameters: Parameters) -> Parameters:
    """Tell for each parameter whether training changes it."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-2].key != TRANSPORT, parameters)


def precision(config: Config) -> DType:
    """Return the type in which a run's networks multiply; left to the machine: the one that is faster there."""
    chosen = config.training.precision
    is_rounded = chosen == "bfloat16" or (
        chosen == "auto" and config.model.architecture == "frames" and multiplies_bfloat16()
    )
    return jnp.bfloat16 if is_rounded else jnp.float32


def _adversarial(config: Config) -> Callable[[jax.Array, float], jax.Array]:
    return losses.logistic if config.loss.adversarial_loss == "logistic" else losses.least_squares


def _score(config: Config, discriminator: Parameters, log_mel: jax.Array) -> jax.Array:
    return cast(jax.Array, networks(config.model, precision(config))[1].apply({"params": discriminator}, log_mel))
