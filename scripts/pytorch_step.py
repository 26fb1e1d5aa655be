"""The losses and train step of gst_jax as a PyTorch engineer writes them; used by compare_pytorch.py."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytorch_networks
import torch
from torch import nn
from torch.nn import functional as F


class Trainer:
    """Both players with their optimizer; the parameters are those of gst_jax, layer by layer."""

    def __init__(self, settings, arrays, dtype, contestant: str = "") -> None:
        """Prepare a contestant, whose name says how it is told to be fast."""
        words = contestant.split()
        self.settings, self.loss, self.training, self.dtype = settings, settings.loss, settings.training, dtype
        self.is_frames = settings.model.architecture == "frames"
        self.is_rounded = "bfloat16" in words
        self.format = torch.channels_last if "channels-last" in words else torch.contiguous_format
        pairs = {name: pytorch_networks.networks(settings, "products" in words) for name in ("ab", "ba")}
        self.generator = nn.ModuleDict({name: pair[0] for name, pair in pairs.items()})
        self.discriminator = nn.ModuleDict(dict(zip("ab", (pair[1] for pair in pairs.values()), strict=True)))
        self.players = nn.ModuleDict({"generator": self.generator, "discriminator": self.discriminator})
        self.players.to(dtype=dtype)
        if not self.is_frames:
            self.players.to(memory_format=self.format)
        with torch.no_grad():
            for name, tensor in self.named():
                tensor.copy_(as_torch(arrays[f"parameter/{name}"], tensor.ndim))
        self.ema = copy.deepcopy(self.generator)
        self.optimizer = torch.optim.Adam(
            [tensor for tensor in self.players.parameters() if tensor.requires_grad],
            self.training.learning_rate,
            (self.training.beta1, self.training.beta2),
            fused=True,
        )
        self.generator_loss, self.discriminator_loss = self._generator_loss, self._discriminator_loss
        if "compiled" in words:
            mode = "max-autotune" if "max-autotune" in words else "default"
            self.generator_loss = torch.compile(self._generator_loss, mode=mode)
            self.discriminator_loss = torch.compile(self._discriminator_loss, mode=mode)
        self.count = itertools.count(1)

    def named(self):
        """Yield every parameter, those of the fixed transports too, under the name it has in gst_jax."""
        kinds = (pytorch_networks.FrameConv, pytorch_networks.FrameProduct, nn.Conv2d)
        kind = "FrameConv" if self.is_frames else "Conv"
        for player, networks in self.players.items():
            for name, network in networks.items():
                path = f"{player}/{name}"
                layers = [layer for layer in network.modules() if isinstance(layer, kinds)]
                if layers[0] is getattr(network, "transport", None):
                    yield f"{path}/transport/kernel", layers.pop(0).weight
                for number, layer in enumerate(layers):
                    last = player == "generator" and number == len(layers) - 1
                    place = f"{path}/output" if last else f"{path}/{kind}_{number}"
                    yield f"{place}/kernel", layer.weight
                    if layer.bias is not None:
                        yield f"{place}/bias", layer.bias

    def backward(self, batch):
        """Add both players' gradients to what is there; return losses and fakes."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.is_rounded):
            a, b = (self._input(batch[genre]) for genre in "ab")
            self.discriminator.requires_grad_(False)
            losses, fakes = self.generator_loss(a, b)
        (losses["generator/total"] / self.training.accumulation_steps).backward()
        self.discriminator.requires_grad_(True)
        fakes = {genre: fake.detach() for genre, fake in fakes.items()}
        with torch.autocast("cpu", torch.bfloat16, enabled=self.is_rounded):
            total, more = self.discriminator_loss({"a": a, "b": b}, fakes)
        (total / self.training.accumulation_steps).backward()
        return losses | more, fakes

    def step(self, batch):
        """Learn from one micro-batch."""
        self.backward(batch)
        if next(self.count) % self.training.accumulation_steps == 0:
            self.optimizer.step()
            self.optimizer.zero_grad()
            with torch.no_grad():
                averages, values = list(self.ema.parameters()), list(self.generator.parameters())
                torch._foreach_lerp_(averages, values, 1 - self.training.ema_decay)

    def gradients(self, batch):
        """Return losses, fakes and gradients of the first micro-batch as NumPy arrays under gst_jax's names."""
        losses, fakes = self.backward(batch)
        found = {f"loss/{name}": value.detach().numpy() for name, value in losses.items()}
        found |= {f"output/{genre}": self._output(fake).numpy() for genre, fake in fakes.items()}
        scale = self.training.accumulation_steps
        return found | {
            f"gradient/{name}": as_numpy(tensor.grad * scale) for name, tensor in self.named() if tensor.requires_grad
        }

    def _input(self, log_mels: np.ndarray) -> torch.Tensor:
        """Turn [B, T, M] into what the networks take."""
        x = torch.from_numpy(log_mels).to(self.dtype)
        return x if self.is_frames else x[:, None].to(memory_format=self.format)

    def _output(self, x: torch.Tensor) -> torch.Tensor:
        """Undo `_input`."""
        return x if self.is_frames else x[:, 0]

    def _generator_loss(self, a, b):
        generator = {name: self._exact(network) for name, network in self.generator.items()}
        discriminator, weights = (
            {name: self._exact(network) for name, network in self.discriminator.items()},
            self.loss,
        )
        parts = {}
        if weights.identity > 0:
            fake_b, identity_b = generator["ab"](torch.cat([a, b])).chunk(2)
            fake_a, identity_a = generator["ba"](torch.cat([b, a])).chunk(2)
            parts["generator/identity"] = F.l1_loss(identity_a, a) + F.l1_loss(identity_b, b)
        else:
            fake_b, fake_a = generator["ab"](a), generator["ba"](b)
        cycle_a, cycle_b = generator["ba"](fake_b), generator["ab"](fake_a)
        scores = discriminator["b"](fake_b), discriminator["a"](fake_a)
        parts["generator/adversarial"] = sum(self._adversarial(score, 1.0) for score in scores)
        parts["generator/cycle"] = F.l1_loss(cycle_a, a) + F.l1_loss(cycle_b, b)
        names = [name for name in ("adversarial", "cycle", "identity") if f"generator/{name}" in parts]
        parts["generator/total"] = sum(getattr(weights, name) * parts[f"generator/{name}"] for name in names)
        return parts, {"a": fake_a, "b": fake_b}

    def _discriminator_loss(self, real, fakes):
        found, total, weight = {}, 0.0, self.loss.gradient_penalty
        for genre in "ab":
            score = self._exact(self.discriminator[genre])
            if weight > 0:
                slope, on_real = torch.func.grad(lambda x, score=score: _summed(score(x)), has_aux=True)(real[genre])
                found[f"penalty/{genre}"] = slope.square().flatten(1).sum(1).mean()
                total = total + 0.5 * weight * found[f"penalty/{genre}"]
                on_fake = score(fakes[genre])
            else:
                on_real, on_fake = score(torch.cat([real[genre], fakes[genre]])).chunk(2)
            loss = 0.5 * (self._adversarial(on_real, 1.0) + self._adversarial(on_fake, 0.0))
            found[f"discriminator/{genre}"] = loss
            total = total + loss
        return total, found

    def _exact(self, network):
        """Give a network's output, which autocast may have rounded, in full for the losses."""
        return lambda x: network(x).to(self.dtype)

    def _adversarial(self, scores, target: float):
        if self.loss.adversarial_loss == "logistic":
            return (F.softplus(scores) - target * scores).mean()
        return torch.square(scores - target).mean()


def _summed(scores):
    """Return the sum of scores, to be differentiated, with the scores."""
    return scores.sum(), scores


def as_torch(array: np.ndarray, dimensions: int) -> torch.Tensor:
    """Turn a kernel [..., C, D] into PyTorch's [D, C, ...] or [D, ... C], a bias [1, ..., 1, D] into [D]."""
    if dimensions == 1:
        return torch.from_numpy(array.reshape(-1))
    if dimensions == 2:
        return torch.from_numpy(array.reshape(-1, array.shape[-1]).T.copy())
    return torch.from_numpy(np.moveaxis(array, (-1, -2), (0, 1)).copy())


def as_numpy(tensor: torch.Tensor) -> np.ndarray:
    """Undo `as_torch`, but for axes that are one in PyTorch or of length 1."""
    array = tensor.numpy()
    return np.moveaxis(array, (0, 1), (-1, -2)) if array.ndim > 2 else array.T


def errors(found, truth) -> dict[str, float]:
    """Return the worst array's error: of outputs and losses over the largest value, of gradients in the norm."""

    def largest(prefix, size):
        names = [name for name in truth if name.startswith(prefix)]
        return max(float(size(found[k].reshape(truth[k].shape) - truth[k]) / size(truth[k])) for k in names)

    return {
        "outputs": largest("output/", lambda array: np.abs(array).max()),
        "losses": largest("loss/", np.abs),
        "gradients": largest("gradient/", np.linalg.norm),
    }
