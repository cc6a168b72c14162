"""Models that timm does not have: kinds of layers that its classifiers leave out."""

# mypy: disallow-subclassing-any=False

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Chain(nn.Module):
    """Five small nodes in each block: what a net costs whose arithmetic is next to nothing."""

    def __init__(self, blocks: int, channels: int) -> None:
        super().__init__()
        self.first = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(blocks)
        )
        self.second = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        for first, second in zip(self.first, self.second, strict=True):
            x = F.max_pool2d(second(F.relu(first(x))) + x, 3, 1, 1)
        return x


class Shuffle(nn.Module):
    """Channels of all groups in turn."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)


class ShuffleUnit(nn.Module):
    """Grouped 1x1, shuffle, depthwise, grouped 1x1: added to x, or concatenated with its pool."""

    def __init__(self, before: int, after: int, groups: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        inner, made = after // 4, after - before if stride == 2 else after
        first = 1 if before % groups else groups
        self.branch = nn.Sequential(
            nn.Conv2d(before, inner, 1, groups=first, bias=False), nn.BatchNorm2d(inner),
            nn.ReLU(), Shuffle(groups),
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.Conv2d(inner, made, 1, groups=groups, bias=False), nn.BatchNorm2d(made),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.branch(x)
        if self.stride == 2:
            return F.relu(torch.cat([F.avg_pool2d(x, 3, 2, 1), y], 1))
        return F.relu(x + y)


class ShuffleNet(nn.Module):
    """ShuffleNet (Zhang et al. 2017): most of its arithmetic is grouped 1x1 convolutions."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 24, 3, 2, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
        )
        before, units = 24, []
        for after, count in ((240, 4), (480, 8), (960, 4)):
            for index in range(count):
                units.append(ShuffleUnit(before, after, groups, 1 if index else 2))
                before = after
        self.units = nn.Sequential(*units)
        self.head = nn.Linear(before, 1000)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.units(self.stem(x)).mean((2, 3)))
        return y


class Attention(nn.Module):
    """Self-attention whose keys and values are on a coarser grid."""

    def __init__(self, dim: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.heads, self.ratio = heads, ratio
        self.q, self.kv = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)
        if ratio > 1:
            self.reduce, self.norm = nn.Conv2d(dim, dim, ratio, ratio), nn.LayerNorm(dim)

    def forward(self, x: Tensor, h: int, w: int) -> Tensor:
        n, length, dim = x.shape
        coarse = x
        if self.ratio > 1:
            grid = x.transpose(1, 2).reshape(n, dim, h, w)
            coarse = self.norm(self.reduce(grid).flatten(2).transpose(1, 2))
        each = dim // self.heads
        q = self.q(x).reshape(n, length, self.heads, each).transpose(1, 2)
        k, v = self.kv(coarse).reshape(n, -1, 2, self.heads, each).permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-2, -1)) * each**-0.5
        mixed = scores.softmax(-1) @ v
        y: Tensor = self.out(mixed.transpose(1, 2).reshape(n, length, dim))
        return y


class MixFeedForward(nn.Module):
    """Two linear layers with a depthwise convolution and GELU between them."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(dim, inner), nn.Linear(inner, dim)
        self.depthwise = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)

    def forward(self, x: Tensor, h: int, w: int) -> Tensor:
        y = self.first(x)
        y = self.depthwise(y.transpose(1, 2).reshape(y.shape[0], y.shape[2], h, w))
        z: Tensor = self.second(F.gelu(y.flatten(2).transpose(1, 2)))
        return z


class SegFormerBlock(nn.Module):
    """Attention and feed-forward, each behind a layer norm and added to x."""

    def __init__(self, dim: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, ratio)
        self.feed_forward = MixFeedForward(dim, 4 * dim)

    def forward(self, x: Tensor, h: int, w: int) -> Tensor:
        x = x + self.attention(self.norm1(x), h, w)
        y: Tensor = x + self.feed_forward(self.norm2(x), h, w)
        return y


class SegFormer(nn.Module):
    """SegFormer of the size B0 (Xie et al. 2021): a transformer on four grids, and their sum."""

    dims, heads, ratios, blocks = (32, 64, 160, 256), (1, 2, 5, 8), (8, 4, 2, 1), (2, 2, 2, 2)

    def __init__(self, classes: int = 19, decoder: int = 128) -> None:
        super().__init__()
        before = (3, *self.dims)
        self.patches = nn.ModuleList(
            nn.Conv2d(before[i], dim, 3 if i else 7, 2 if i else 4, 1 if i else 3)
            for i, dim in enumerate(self.dims)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for dim in (*self.dims, *self.dims))
        self.stages = nn.ModuleList(
            nn.ModuleList(SegFormerBlock(dim, heads, ratio) for _ in range(count))
            for dim, heads, ratio, count in zip(
                self.dims, self.heads, self.ratios, self.blocks, strict=True
            )
        )
        self.to_decoder = nn.ModuleList(nn.Conv2d(dim, decoder, 1) for dim in self.dims)
        self.mix = nn.Sequential(
            nn.Conv2d(4 * decoder, decoder, 1, bias=False), nn.BatchNorm2d(decoder), nn.ReLU()
        )
        self.classify = nn.Conv2d(decoder, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for i, (patch, stage, project) in enumerate(
            zip(self.patches, self.stages, self.to_decoder, strict=True)
        ):
            x = patch(x)
            n, c, h, w = x.shape
            tokens = self.norms[i](x.flatten(2).transpose(1, 2))
            for block in stage:
                tokens = block(tokens, h, w)
            tokens = self.norms[4 + i](tokens)
            x = tokens.transpose(1, 2).reshape(n, c, h, w)
            maps.append(project(x))
        size = maps[0].shape[2:]
        fine = [maps[0], *(F.interpolate(one, size, mode="bilinear") for one in maps[1:])]
        y: Tensor = self.classify(self.mix(torch.cat(fine[::-1], 1)))
        return y


def _twice(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
        nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
    )


class UNet(nn.Module):
    """A U-Net (Ronneberger et al. 2015): transposed convolutions, and results kept for later."""

    sizes = (24, 48, 96, 192)

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        before = (3, *self.sizes)
        self.down = nn.ModuleList(_twice(before[i], size) for i, size in enumerate(self.sizes))
        pairs = list(zip(self.sizes[1:], self.sizes, strict=False))[::-1]
        self.wider = nn.ModuleList(nn.ConvTranspose2d(low, high, 2, 2) for low, high in pairs)
        self.up = nn.ModuleList(_twice(2 * high, high) for _, high in pairs)
        self.classify = nn.Conv2d(self.sizes[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for part in self.down:
            if kept:
                x = F.max_pool2d(x, 2)
            x = part(x)
            kept.append(x)
        for wider, part, skip in zip(self.wider, self.up, kept[-2::-1], strict=True):
            x = part(torch.cat([skip, wider(x)], 1))
        y: Tensor = self.classify(x)
        return y


class TcnBlock(nn.Module):
    """1x1, depthwise with dilation, 1x1, added to x; PReLU as a leaky ReLU."""

    def __init__(self, channels: int, inner: int, dilation: int) -> None:
        super().__init__()
        self.parts = nn.Sequential(
            nn.Conv1d(channels, inner, 1), nn.LeakyReLU(0.25), nn.BatchNorm1d(inner),
            nn.Conv1d(inner, inner, 3, padding=dilation, dilation=dilation, groups=inner),
            nn.LeakyReLU(0.25), nn.BatchNorm1d(inner), nn.Conv1d(inner, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.parts(x)
        return y


class Tcn(nn.Module):
    """A temporal network of dilated 1-D convolutions, as in Conv-TasNet (Luo, Mesgarani 2019)."""

    def __init__(self, channels: int = 64, inner: int = 256, repeats: int = 2) -> None:
        super().__init__()
        self.first = nn.Conv1d(40, channels, 1)
        self.blocks = nn.Sequential(
            *(TcnBlock(channels, inner, 2**i) for _ in range(repeats) for i in range(7))
        )
        self.last = nn.Conv1d(channels, 40, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.sigmoid(self.last(self.blocks(self.first(x)))) * x
        return y
