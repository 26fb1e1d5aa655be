"""The variants that the ablations try train, and differ from the default in what they say."""

import jax
import numpy as np
import pytest
import variants
from variants import VARIANTS

from gst_jax import config
from gst_jax.learning import cyclegan

SMALL = ["audio.n_mels=32", "model.channels=8", "model.residual_blocks=1", "model.discriminator_channels=4"]
SETTINGS = config.load("configs/frames.toml", SMALL)


@pytest.fixture(autouse=True)
def put_back(monkeypatch):
    for name in ("networks", "_adversarial", "_score", "generator_loss"):
        monkeypatch.setattr(cyclegan, name, getattr(cyclegan, name))


def losses_of_a_step() -> dict[str, float]:
    """Take both players' losses and gradients without compiling, which is what takes time; return the metrics."""
    rng = np.random.default_rng(0)
    batch = {genre: jax.numpy.asarray(rng.standard_normal((2, 126, 32), np.float32)) for genre in "ab"}
    generator, discriminator = cyclegan.init_parameters(SETTINGS).values()
    (_, (metrics, fakes)), gradient = jax.value_and_grad(cyclegan.generator_loss, has_aux=True)(
        generator, discriminator, batch, SETTINGS
    )
    (_, other_metrics), other_gradient = jax.value_and_grad(cyclegan.discriminator_loss, has_aux=True)(
        discriminator, batch, fakes, SETTINGS
    )
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((gradient, other_gradient)))
    return {name: float(value) for name, value in (metrics | other_metrics).items()}


@pytest.fixture(scope="module")
def plain() -> dict[str, float]:
    return losses_of_a_step()


CHANGED = {
    "hinge": {"generator/adversarial", "discriminator/a"},
    "spectral norm": {"generator/adversarial", "discriminator/a", "penalty/a"},
    "augmentation": {"generator/adversarial", "discriminator/a", "penalty/a"},
    "two scales": {"generator/adversarial", "discriminator/a", "penalty/a"},
    "PatchNCE": {"generator/cycle"},
    "filling in": {"generator/cycle", "generator/adversarial", "discriminator/a"},
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_variant_trains_on_a_loss_of_its_own(name, plain):
    VARIANTS[name]()
    found = losses_of_a_step()
    changed = {metric for metric in plain if not np.isclose(plain[metric], found[metric], rtol=1e-4)}
    assert CHANGED[name] <= changed
    if name == "PatchNCE":
        assert "generator/adversarial" not in changed


def test_spectral_norms_become_one(monkeypatch):
    seen = {}
    monkeypatch.setattr(variants, "score", lambda model, parameters, log_mel: seen.update(parameters))
    VARIANTS["spectral norm"]()
    cyclegan._score(SETTINGS.model, cyclegan.init_parameters(SETTINGS)["discriminator"]["a"], None)
    assert len(seen) == 4
    for layer in seen.values():
        kernel = np.asarray(layer["kernel"])
        assert np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2) == pytest.approx(1, rel=0.1)
