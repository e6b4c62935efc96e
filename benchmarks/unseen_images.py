"""Blocks and networks for images that `unseen.py` names, after published architectures. It needs torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


def conv(
    come: int, go: int, kernel: int = 3, stride: int = 1, act: nn.Module | None = None, **more: int
) -> nn.Sequential:
    """Convolution, batch normalization and an activation (ReLU if none is given)."""
    pad = more.pop("padding", kernel // 2 * more.get("dilation", 1))
    layer = nn.Conv2d(come, go, kernel, stride, pad, bias=False, **more)  # type: ignore[arg-type]
    return nn.Sequential(layer, nn.BatchNorm2d(go), act or nn.ReLU())


class Residual(nn.Module):
    """The output of some layers plus the input."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)  # type: ignore[no-any-return]


class Ghost(nn.Module):
    """GhostNet's module: cheap depthwise features next to convolved ones."""

    def __init__(self, come: int, go: int) -> None:
        super().__init__()
        self.first = conv(come, go // 2, 1)
        self.cheap = conv(go // 2, go // 2, 3, groups=go // 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return torch.cat([y, self.cheap(y)], 1)


class Shuffle(nn.Module):
    """ShuffleNetV2's unit: half of the channels, then a channel shuffle."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.branch = nn.Sequential(
            conv(half, half, 1), conv(half, half, 3, groups=half), conv(half, half, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, 1)
        y = torch.cat([a, self.branch(b)], 1)
        n, c, h, w = y.shape
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class Split(nn.Module):
    """Res2Net's hierarchy: each group of channels reads the one before it."""

    def __init__(self, width: int, groups: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList(conv(width // groups, width // groups) for _ in range(groups - 1))
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        parts = list(torch.split(x, x.shape[1] // self.groups, 1))
        for number, layer in enumerate(self.layers):
            parts[number + 1] = layer(parts[number + 1] + (parts[number] if number else 0))
        return torch.cat(parts, 1)


class Coordinates(nn.Module):
    """Coordinate attention: pooled along each axis."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mixed = conv(width, 8, 1, act=nn.Hardswish())
        self.rows, self.columns = nn.Conv2d(8, width, 1), nn.Conv2d(8, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        rows, columns = (
            functional.adaptive_avg_pool2d(x, (h, 1)),
            functional.adaptive_avg_pool2d(x, (1, w)).transpose(2, 3),
        )
        a, b = self.mixed(torch.cat([rows, columns], 2)).split([h, w], 2)
        return x * self.rows(a).sigmoid() * self.columns(b.transpose(2, 3)).sigmoid()


class Squeeze(nn.Module):
    """Squeeze and excitation; ECA (a convolution over channels) if `local`."""

    def __init__(self, width: int, local: bool = False) -> None:
        super().__init__()
        self.local = nn.Conv1d(1, 1, 3, padding=1, bias=False) if local else None
        self.dense = nn.Sequential(nn.Linear(width, width // 4), nn.SiLU(), nn.Linear(width // 4, width))

    def forward(self, x: Tensor) -> Tensor:
        y = x.mean((2, 3))
        y = self.local(y.unsqueeze(1)).squeeze(1) if self.local is not None else self.dense(y)
        return x * y.sigmoid()[:, :, None, None]


class Pyramid(nn.Module):
    """PSPNet's pooling pyramid (`sizes`), or SPPF (none): features of several scales, concatenated."""

    def __init__(self, width: int, sizes: Sequence[int] = ()) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.squeezed = nn.ModuleList(conv(width, width // 4, 1) for _ in self.sizes)

    def forward(self, x: Tensor) -> Tensor:
        if not self.sizes:
            a = functional.max_pool2d(x, 5, 1, 2)
            b = functional.max_pool2d(a, 5, 1, 2)
            return torch.cat([x, a, b, functional.max_pool2d(b, 5, 1, 2)], 1)
        features = [x]
        for size, layer in zip(self.sizes, self.squeezed, strict=True):
            y = layer(functional.adaptive_avg_pool2d(x, size))
            features.append(functional.interpolate(y, x.shape[2:], mode="bilinear", align_corners=False))
        return torch.cat(features, 1)


class UNet(nn.Module):
    """A U-Net of two levels, with transposed convolutions, or resizing and convolving."""

    def __init__(self, width: int = 16, resized: str = "") -> None:
        super().__init__()
        self.down = nn.ModuleList([conv(3, width), conv(width, width * 2), conv(width * 2, width * 4)])
        self.up = nn.ModuleList(nn.ConvTranspose2d(width * k, width * k // 2, 2, 2) for k in (4, 2))
        self.plain = nn.ModuleList(nn.Conv2d(width * k, width * k // 2, 1) for k in (4, 2))
        self.after = nn.ModuleList(conv(width * k, width * k // 2) for k in (4, 2))
        self.out, self.resized = nn.Conv2d(width, 2, 1), resized

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for number, layer in enumerate(self.down):
            x = layer(functional.max_pool2d(x, 2) if number else x)
            kept.append(x)
        for number, (up, plain, after) in enumerate(zip(self.up, self.plain, self.after, strict=True)):
            y = plain(functional.interpolate(x, scale_factor=2, mode=self.resized)) if self.resized else up(x)
            x = after(torch.cat([y, kept[1 - number]], 1))
        return self.out(x)  # type: ignore[no-any-return]


class Detector(nn.Module):
    """A YOLOX-like head on two scales: boxes from a grid, scores next to them, all in one tensor."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        act = nn.SiLU()
        self.stem = nn.Sequential(
            conv(12, width, act=act),
            conv(width, width, 3, 2, act=act),
            Pyramid(width),
            conv(width * 4, width, 1, act=act),
        )
        self.low = conv(width, width, 3, 2, act=act)
        self.heads = nn.ModuleList(nn.Conv2d(width, 4 + 1 + 5, 1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)
        high = self.stem(x)
        features = []
        for stride, head, y in zip((4, 8), self.heads, (high, self.low(high)), strict=True):
            n, c, h, w = (z := head(y)).shape
            grid = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(h), indexing="xy"), -1).view(
                1, h * w, 2
            )
            z = z.view(n, c, h * w).transpose(1, 2)
            features.append(
                torch.cat(
                    [(z[..., :2] + grid) * stride, z[..., 2:4].exp() * stride, z[..., 4:].sigmoid()], -1
                )
            )
        return torch.cat(features, 1)


class Spatial(nn.Module):
    """A spatial transformer: an affine grid, sampled."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Sequential(conv(3, 8, 5, 4), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 6))
        self.after = conv(3, 8)

    def forward(self, x: Tensor) -> Tensor:
        grid = functional.affine_grid(self.seen(x).view(-1, 2, 3), list(x.shape), align_corners=False)
        return self.after(functional.grid_sample(x, grid, align_corners=False, padding_mode="border"))  # type: ignore[no-any-return]


class Correlation(nn.Module):
    """A cost volume of shifted features, as optical flow and stereo networks build it."""

    def __init__(self, reach: int = 2) -> None:
        super().__init__()
        self.reach, self.seen = reach, nn.Sequential(conv(3, 8, 3, 2), conv(8, 16, 3, 2))
        self.flow = nn.Conv2d((2 * reach + 1) ** 2, 2, 3, padding=1)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        a, b = self.seen(left), self.seen(right)
        h, w = a.shape[2:]
        padded = functional.pad(b, [self.reach] * 4)
        steps = range(2 * self.reach + 1)
        cost = torch.stack(
            [(a * padded[:, :, i : i + h, j : j + w]).mean(1) for i in steps for j in steps], 1
        )
        flow = self.flow(functional.leaky_relu(cost, 0.1))
        return functional.interpolate(flow, scale_factor=4.0, mode="bicubic")


class Simple(nn.Module):
    """NAFNet's block: a norm over channels, a simple gate, channel attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = (
            nn.Parameter(torch.ones(1, width, 1, 1)),
            nn.Parameter(torch.zeros(1, width, 1, 1)),
        )
        self.wide = nn.Sequential(
            nn.Conv2d(width, width * 2, 1), nn.Conv2d(width * 2, width * 2, 3, padding=1, groups=width * 2)
        )
        self.gate, self.back = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 1e-6).sqrt()
        a, b = self.wide(y * self.scale + self.shift).chunk(2, 1)
        y = a * b
        return x + self.back(y * self.gate(y.mean((2, 3), keepdim=True)))  # type: ignore[no-any-return]
