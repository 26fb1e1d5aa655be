"""Train with something that is no setting but a row of `ablate.py`: what others do.

    python scripts/variants.py hinge --pair=folk_rock --minutes=3 --run_dir=runs/hinge

What follows the name goes to `gst_jax.train`. Each variant replaces one function of `gst_jax` in this process.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
from absl import app

from gst_jax.learning import cyclegan, models

networks, score, generator_loss = cyclegan.networks, cyclegan._score, cyclegan.generator_loss


def hinge() -> None:
    """Hinge losses (Lim and Ye 2017, arXiv:1705.02894)."""

    def of_discriminators(scores, target):
        return nn.relu(1 - (2 * target - 1) * scores).mean()

    def loss(*arguments):
        with mock.patch.object(cyclegan, "_adversarial", lambda _: lambda scores, target: -scores.mean()):
            return generator_loss(*arguments)

    cyclegan.generator_loss = loss
    cyclegan._adversarial = lambda _: of_discriminators


def spectral_norm() -> None:
    """Discriminators with kernels of spectral norm 1 (Miyato et al. 2018, arXiv:1802.05957)."""

    def normalised(path, leaf):
        if path[-1].key == "bias":
            return leaf
        matrix = leaf.reshape(-1, leaf.shape[-1])
        vector = jnp.ones(matrix.shape[1]) / jnp.sqrt(matrix.shape[1])
        for _ in range(20):  # of the power method
            vector = matrix.T @ (matrix @ vector)
            vector = vector / (jnp.linalg.norm(vector) + 1e-12)
        return leaf / jnp.linalg.norm(matrix @ jax.lax.stop_gradient(vector))

    cyclegan._score = lambda model, parameters, log_mel: score(
        model, jax.tree_util.tree_map_with_path(normalised, parameters), log_mel
    )


def augmentation() -> None:
    """Discriminators that see all at another level, tilt and time, masked (Zhao et al. 2020, arXiv:2006.10738)."""

    def augmented(model, parameters, log_mel):
        level, tilt, roll, mask = jax.random.split(random_key(log_mel), 4)
        batch, frames, mels = log_mel.shape
        log_mel = log_mel + 0.3 * jax.random.normal(level, (batch, 1, 1))
        log_mel = log_mel + 0.3 * jax.random.normal(tilt, (batch, 1, 1)) * jnp.linspace(-1, 1, mels)[None, None]
        log_mel = jax.vmap(functools.partial(jnp.roll, axis=0))(log_mel, jax.random.randint(roll, batch, 0, frames))
        return score(model, parameters, masked(mask, log_mel))

    cyclegan._score = augmented


def filling_in() -> None:
    """Generators that fill in up to half a second of what they convert (Kaneko et al. 2021, arXiv:2102.12841)."""
    translate = cyclegan.translate

    def loss(generator, discriminator, batch, config):
        def from_gaps(parameters, model, log_mel):
            if any(log_mel is real for real in batch.values()):  # not on the way back
                log_mel = masked(random_key(log_mel), log_mel)
            return translate(parameters, model, log_mel)

        with mock.patch.object(cyclegan, "translate", from_gaps):
            return generator_loss(generator, discriminator, batch, config)

    cyclegan.generator_loss = loss


def patch_nce() -> None:
    """Each frame of a conversion recognised by its source's, for the cycle (Park et al. 2020, arXiv:2007.15651).

    On the encoder's frames, two a time, without projection heads; identities count as much as conversions.
    """

    def loss(generator, discriminator, batch, config):
        def features(direction, log_mel):
            network = networks(config.model)[0]
            kept = {"capture_intermediates": lambda module, _: module.name == "FrameConv_1"}
            _, state = network.apply({"params": generator[direction]}, log_mel, **kept)
            frames = state["intermediates"]["FrameConv_1"]["__call__"][0]
            return frames / (jnp.linalg.norm(frames, axis=-1, keepdims=True) + 1e-6)

        def recognised(direction, source, conversion):
            keys = jax.lax.stop_gradient(features(direction, source))
            likeness = jnp.einsum("btc,bsc->bts", features(direction, conversion), keys) / 0.07
            return -jnp.diagonal(jax.nn.log_softmax(likeness), axis1=1, axis2=2).mean()

        a, b, adversarial = batch["a"], batch["b"], cyclegan._adversarial(config)
        fake_b, same_b = jnp.split(cyclegan.translate(generator["ab"], config.model, jnp.concatenate([a, b])), 2)
        fake_a, same_a = jnp.split(cyclegan.translate(generator["ba"], config.model, jnp.concatenate([b, a])), 2)
        parts = {
            "generator/adversarial": adversarial(score(config.model, discriminator["b"], fake_b), 1.0)
            + adversarial(score(config.model, discriminator["a"], fake_a), 1.0),
            "generator/cycle": (recognised("ab", a, fake_b) + recognised("ba", b, fake_a)) / 2
            + (recognised("ab", b, same_b) + recognised("ba", a, same_a)) / 2,
        }
        total = parts["generator/adversarial"] + config.loss.cycle * parts["generator/cycle"]
        return total, ({"generator/total": total, **parts}, {"a": fake_a, "b": fake_b})

    cyclegan.generator_loss = loss


def two_scales() -> None:
    """A second discriminator for each genre, on frames averaged by fours (Wang et al. 2018, arXiv:1711.11585)."""

    class TwoScales(nn.Module):
        channels: int

        @nn.compact
        def __call__(self, log_mel):
            coarse = nn.avg_pool(log_mel, (4,), (4,))
            scores = [models.FrameDiscriminator(self.channels)(x) for x in (log_mel, coarse)]
            return jnp.concatenate(scores, axis=1)

    cyclegan.networks = lambda model: (networks(model)[0], TwoScales(model.discriminator_channels))


VARIANTS: dict[str, Callable[[], None]] = {
    "hinge": hinge,
    "spectral norm": spectral_norm,
    "augmentation": augmentation,
    "filling in": filling_in,
    "PatchNCE": patch_nce,
    "two scales": two_scales,
}


def random_key(log_mel: jax.Array) -> jax.Array:
    """Return a key of its own for every batch."""
    return jax.random.key(jax.lax.bitcast_convert_type(jax.lax.stop_gradient(log_mel).sum(), jnp.int32))


def masked(key: jax.Array, log_mel: jax.Array) -> jax.Array:
    """Set up to half a second of each segment, [B, T, M], to the mean."""
    start, length = jax.random.split(key)
    batch, frames, _ = log_mel.shape
    first = jax.random.randint(start, (batch, 1), 0, frames)
    after = first + jax.random.randint(length, (batch, 1), 0, 33)
    time = jnp.arange(frames)[None]
    return jnp.where(((time >= first) & (time < after))[..., None], 0.0, log_mel)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in VARIANTS:
        sys.exit(f"{__doc__}\nVariants: {', '.join(VARIANTS)}")
    VARIANTS[sys.argv.pop(1)]()
    from gst_jax import train

    app.run(train.main)
