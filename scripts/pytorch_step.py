"""The networks, losses and train step of gst_jax as a PyTorch engineer writes them; used by compare_pytorch.py."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def conv(inputs: int, outputs: int, size: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """Return a convolution that keeps the size at stride 1."""
    return nn.Conv2d(inputs, outputs, size, stride, (size - 1) // 2, bias=bias)


class Residual(nn.Module):
    """Two convolutions with instance norm, added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            conv(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(inplace=True),
            conv(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.block(x)


class Generator(nn.Module):
    """The ResNet generator: down twice, residual blocks, up twice."""

    def __init__(self, c: int, blocks: int, residual: bool) -> None:
        super().__init__()
        self.residual = residual

        def stage(layer: nn.Module, channels: int) -> list[nn.Module]:
            return [layer, nn.InstanceNorm2d(channels), nn.ReLU(inplace=True)]

        self.layers = nn.Sequential(
            *stage(conv(1, c, 7), c),
            *stage(conv(c, 2 * c, 3, 2), 2 * c),
            *stage(conv(2 * c, 4 * c, 3, 2), 4 * c),
            *[Residual(4 * c) for _ in range(blocks)],
            nn.Upsample(scale_factor=2),
            *stage(conv(4 * c, 2 * c, 3), 2 * c),
            nn.Upsample(scale_factor=2),
            *stage(conv(2 * c, c, 3), c),
            conv(c, 1, 7, bias=True),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [B, 1, T, M]
        frames = x.shape[2]
        y = self.layers(F.pad(x, (0, 0, 0, -frames % 4)))[:, :, :frames]
        return x + y if self.residual else y


def discriminator(c: int) -> nn.Sequential:
    """Return the PatchGAN discriminator."""

    def stage(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        return [conv(inputs, outputs, 4, stride), nn.InstanceNorm2d(outputs), nn.LeakyReLU(0.2, inplace=True)]

    return nn.Sequential(
        conv(1, c, 4, 2, bias=True),
        nn.LeakyReLU(0.2, inplace=True),
        *stage(c, 2 * c, 2),
        *stage(2 * c, 4 * c, 2),
        *stage(4 * c, 8 * c, 1),
        conv(8 * c, 1, 4, bias=True),
    )


class Trainer:
    """Both players with their optimizer; the parameters are those of gst_jax, layer by layer."""

    def __init__(self, settings, arrays, dtype, channels_last: bool = False, compile: bool = False) -> None:
        model, training = settings.model, settings.training
        self.loss, self.training, self.dtype = settings.loss, training, dtype
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.generator = nn.ModuleDict(
            {name: Generator(model.channels, model.residual_blocks, model.residual) for name in ("ab", "ba")}
        )
        self.discriminator = nn.ModuleDict({name: discriminator(model.discriminator_channels) for name in "ab"})
        self.players = nn.ModuleDict({"generator": self.generator, "discriminator": self.discriminator})
        self.players.to(dtype=dtype, memory_format=self.format)
        with torch.no_grad():
            for name, tensor in self.named():
                tensor.copy_(as_torch(arrays[f"parameter/{name}"]))
        self.ema = copy.deepcopy(self.generator)
        self.optimizer = torch.optim.Adam(
            self.players.parameters(), training.learning_rate, (training.beta1, training.beta2), foreach=True
        )
        self.generator_loss = torch.compile(self._generator_loss) if compile else self._generator_loss
        self.discriminator_loss = torch.compile(self._discriminator_loss) if compile else self._discriminator_loss
        self.count = itertools.count(1)

    def named(self):
        """Yield every parameter under the name it has in gst_jax."""
        for player, networks in self.players.items():
            for name, network in networks.items():
                layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
                for number, layer in enumerate(layers):
                    last = player == "generator" and number == len(layers) - 1
                    path = f"{player}/{name}/" + ("output" if last else f"Conv_{number}")
                    yield f"{path}/kernel", layer.weight
                    if layer.bias is not None:
                        yield f"{path}/bias", layer.bias

    def backward(self, batch):
        """Add both players' gradients to what is there; return losses and fakes."""
        a, b = (
            torch.from_numpy(batch[genre])[:, None].to(dtype=self.dtype, memory_format=self.format) for genre in "ab"
        )
        self.discriminator.requires_grad_(False)
        losses, fakes = self.generator_loss(a, b)
        (losses["generator/total"] / self.training.accumulation_steps).backward()
        self.discriminator.requires_grad_(True)
        fakes = {genre: fake.detach() for genre, fake in fakes.items()}
        more = self.discriminator_loss({"a": a, "b": b}, fakes)
        (sum(more.values()) / self.training.accumulation_steps).backward()
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
        found |= {f"output/{genre}": fake[:, 0].numpy() for genre, fake in fakes.items()}
        scale = self.training.accumulation_steps
        return found | {f"gradient/{name}": as_numpy(tensor.grad * scale) for name, tensor in self.named()}

    def _generator_loss(self, a, b):
        fake_b, identity_b = self.generator["ab"](torch.cat([a, b])).chunk(2)
        fake_a, identity_a = self.generator["ba"](torch.cat([b, a])).chunk(2)
        cycle_a, cycle_b = self.generator["ba"](fake_b), self.generator["ab"](fake_a)
        scores = self.discriminator["b"](fake_b), self.discriminator["a"](fake_a)
        parts = {
            "generator/adversarial": sum(torch.square(score - 1).mean() for score in scores),
            "generator/cycle": F.l1_loss(cycle_a, a) + F.l1_loss(cycle_b, b),
            "generator/identity": F.l1_loss(identity_a, a) + F.l1_loss(identity_b, b),
        }
        weights = self.loss
        parts["generator/total"] = (
            weights.adversarial * parts["generator/adversarial"]
            + weights.cycle * parts["generator/cycle"]
            + weights.identity * parts["generator/identity"]
        )
        return parts, {"a": fake_a, "b": fake_b}

    def _discriminator_loss(self, real, fakes):
        losses = {}
        for genre in "ab":
            scores = self.discriminator[genre](torch.cat([real[genre], fakes[genre]]))
            on_real, on_fake = scores.chunk(2)
            losses[f"discriminator/{genre}"] = 0.5 * (torch.square(on_real - 1).mean() + torch.square(on_fake).mean())
        return losses


def as_torch(array: np.ndarray) -> torch.Tensor:
    """Turn a kernel [kh, kw, C, D] into PyTorch's [D, C, kh, kw], a bias [1, 1, 1, D] into [D]."""
    bias = array.shape[:3] == (1, 1, 1)
    return torch.from_numpy(array.reshape(-1) if bias else array.transpose(3, 2, 0, 1).copy())


def as_numpy(tensor: torch.Tensor) -> np.ndarray:
    """Undo `as_torch`."""
    array = tensor.numpy()
    return array.reshape(1, 1, 1, -1) if array.ndim == 1 else array.transpose(2, 3, 1, 0)


def errors(found, truth) -> dict[str, float]:
    """Return the worst array's error: of outputs and losses over the largest value, of gradients in the norm."""

    def largest(prefix, size):
        return max(float(size(found[k] - truth[k]) / size(truth[k])) for k in truth if k.startswith(prefix))

    return {
        "outputs": largest("output/", lambda array: np.abs(array).max()),
        "losses": largest("loss/", np.abs),
        "gradients": largest("gradient/", np.linalg.norm),
    }
