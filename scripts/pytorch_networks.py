"""The networks of gst_jax as a PyTorch engineer writes them; used by pytorch_step.py.

Those of "pictures" take log-mels [B, 1, T, M], those of "frames" [B, T, M].
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


def conv(inputs: int, outputs: int, size: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """Return a convolution that keeps the size at stride 1."""
    return nn.Conv2d(inputs, outputs, size, stride, (size - 1) // 2, bias=bias)


class Residual(nn.Module):
    """Two convolutions with instance norm, added to what came in, [B, C, H, W]."""

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


class PictureGenerator(nn.Module):
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


def picture_discriminator(c: int) -> nn.Sequential:
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


class FrameConv(nn.Conv1d):
    """A convolution over time, [B, T, C] -> [B, ceil(T / stride), D]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(F.pad(x, frame_padding(self.kernel_size[0])).mT).mT


class FrameProduct(nn.Linear):
    """The same as a matrix product of shifted copies."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__(size * inputs, outputs)
        self.size, self.stride = size, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        last = (x.shape[1] - 1) // self.stride * self.stride + 1
        x = F.pad(x, frame_padding(self.size))
        return super().forward(torch.cat([x[:, i : i + last : self.stride] for i in range(self.size)], -1))


def frame_padding(size: int) -> tuple[int, int, int, int]:
    """Return the padding of [B, T, C] that keeps T for a kernel of so many frames."""
    return 0, 0, (size - 1) // 2, size // 2


class FrameResidual(nn.Module):
    """Two convolutions over time, added to what came in."""

    def __init__(self, layer: type[FrameConv | FrameProduct], channels: int) -> None:
        super().__init__()
        self.second = layer(channels, channels, 3)  # the order in which gst_jax counts them
        self.first = layer(channels, channels, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(F.relu(self.first(x)))


class FrameGenerator(nn.Module):
    """Filter log-mels [B, T, M] by a fixed transport, then add what a network over time makes of them."""

    def __init__(self, layer: type[FrameConv | FrameProduct], mels: int, settings) -> None:
        super().__init__()
        c, self.residual = settings.channels, settings.residual
        self.transport = layer(mels, mels, settings.transport_taps) if settings.transport_taps else None
        if self.transport is not None:
            self.transport.requires_grad_(False)
            nn.init.zeros_(self.transport.bias)
        self.down = nn.Sequential(layer(mels, c, 5), nn.ReLU(), layer(c, c, 4, 2), nn.ReLU())
        self.blocks = nn.Sequential(*[FrameResidual(layer, c) for _ in range(settings.residual_blocks)])
        self.up, self.output = layer(c, 2 * c, 3), layer(c, mels, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        frames = x.shape[1]
        if self.transport is not None:
            x = self.transport(x)
        y = F.relu(self.up(self.blocks(self.down(F.pad(x, (0, 0, 0, -frames % 2))))))
        y = self.output(y.reshape(y.shape[0], 2 * y.shape[1], -1))[:, :frames]  # two frames out of one
        return x + y if self.residual else y


def frame_discriminator(layer: type[FrameConv | FrameProduct], mels: int, c: int) -> nn.Sequential:
    """Return the discriminator over time."""
    return nn.Sequential(
        *(layer(mels, c, 5, 2), nn.LeakyReLU(0.2)),
        *(layer(c, 2 * c, 5, 2), nn.LeakyReLU(0.2)),
        *(layer(2 * c, 2 * c, 5, 2), nn.LeakyReLU(0.2)),
        layer(2 * c, 1, 3),
    )


def networks(settings, as_products: bool) -> tuple[nn.Module, nn.Module]:
    """Return the generator with the discriminator of a gst_jax config; frames by convolutions or by products."""
    model, mels = settings.model, settings.audio.n_mels
    if model.architecture == "frames":
        layer = FrameProduct if as_products else FrameConv
        return FrameGenerator(layer, mels, model), frame_discriminator(layer, mels, model.discriminator_channels)
    generator = PictureGenerator(model.channels, model.residual_blocks, model.residual)
    return generator, picture_discriminator(model.discriminator_channels)
