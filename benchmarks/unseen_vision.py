"""Small vision networks of the fourth round, by hand after published architectures. It needs torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from unseen import Made, image, steps
from unseen_images import Residual, conv


class Dense(nn.Module):
    """DenseNet's block: each layer reads the features of all layers before it."""

    def __init__(self, width: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(width + growth * i), nn.ReLU(), nn.Conv2d(width + growth * i, growth, 3, 1, 1)
            )
            for i in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class Branches(nn.Module):
    """Inception's block (`pooled`), or SqueezeNet's fire module."""

    def __init__(self, width: int, pooled: bool) -> None:
        super().__init__()
        self.pooled, self.squeezed = pooled, conv(width, 8, 1)
        self.small, self.large = conv(8, 16, 1), conv(8, 16, 3)
        self.wide = nn.Sequential(conv(8, 8, (1, 3), padding=(0, 1)), conv(8, 8, (3, 1), padding=(1, 0)))  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        y = self.squeezed(x)
        branches = [self.small(y), self.large(y)]
        if self.pooled:
            branches += [self.wide(y), functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)]
        return torch.cat(branches, 1)


class Streams(nn.Module):
    """HRNet: streams of three resolutions that exchange features by strides and nearest resizing."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.stem = nn.ModuleList([conv(3, width, 3, 2), conv(width, width, 3, 2), conv(width, width, 3, 2)])
        self.down = nn.ModuleList(conv(width, width, 3, 2) for _ in range(3))
        self.out = nn.Conv2d(width * 3, 17, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.stem[0](x)
        b = self.stem[1](a)
        c = self.stem[2](b)
        high = a + functional.interpolate(b, scale_factor=2.0) + functional.interpolate(c, scale_factor=4.0)
        middle = self.down[0](a) + b + functional.interpolate(c, scale_factor=2.0)
        low = self.down[2](self.down[1](a)) + c
        size = high.shape[2:]
        wide = [high, *(functional.interpolate(y, size, mode="bilinear") for y in (middle, low))]
        return self.out(torch.cat(wide, 1).relu())  # type: ignore[no-any-return]


class KeyPoints(nn.Module):
    """Integral regression: a softmax over a heat map, and the mean position under it."""

    def __init__(self) -> None:
        super().__init__()
        self.streams = Streams()

    def forward(self, x: Tensor) -> Tensor:
        heat = self.streams(x)
        n, c, h, w = heat.shape
        share = heat.view(n, c, h * w).softmax(-1).view(n, c, h, w)
        across = (share.sum(2) * torch.arange(w, dtype=torch.float32)).sum(-1)
        along = (share.sum(3) * torch.arange(h, dtype=torch.float32)).sum(-1)
        return torch.stack([across / w, along / h, heat.amax((2, 3))], -1)


class Atrous(nn.Module):
    """DeepLabV3+: atrous branches, a pooled one, and a decoder with early features."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.early, self.late = conv(3, width, 3, 4), conv(width, width * 2, 3, 2)
        self.rates = nn.ModuleList(conv(width * 2, width, 3, dilation=rate) for rate in (1, 2, 4))
        self.pooled, self.joined = conv(width * 2, width, 1), conv(width * 4, width, 1)
        self.out = nn.Sequential(conv(width * 2, width), nn.Conv2d(width, 6, 1))

    def forward(self, x: Tensor) -> Tensor:
        early = self.early(x)
        late = self.late(early)
        pooled = self.pooled(functional.adaptive_avg_pool2d(late, 1)).expand(-1, -1, *late.shape[2:])
        y = self.joined(torch.cat([*(rate(late) for rate in self.rates), pooled], 1))
        y = functional.interpolate(y, early.shape[2:], mode="bilinear", align_corners=True)
        y = functional.interpolate(self.out(torch.cat([y, early], 1)), x.shape[2:], mode="bilinear")
        return y.argmax(1)


class Anchors(nn.Module):
    """RetinaNet: a feature pyramid, heads shared by its levels, and boxes decoded from anchors."""

    def __init__(self, width: int = 16, anchors: int = 3, classes: int = 4) -> None:
        super().__init__()
        self.down = nn.ModuleList([conv(3, width, 3, 4), conv(width, width, 3, 2), conv(width, width, 3, 2)])
        self.lateral = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(3))
        self.scores = nn.Sequential(conv(width, width), nn.Conv2d(width, anchors * classes, 3, padding=1))
        self.boxes = nn.Sequential(conv(width, width), nn.Conv2d(width, anchors * 4, 3, padding=1))
        self.anchors, self.classes = anchors, classes

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        levels = []
        for layer in self.down:
            x = layer(x)
            levels.append(x)
        upper: Tensor | None = None
        boxes, scores = [], []
        for level, lateral in zip(levels[::-1], list(self.lateral)[::-1], strict=True):
            y = lateral(level)
            upper = y if upper is None else y + functional.interpolate(upper, scale_factor=2.0)
            boxes.append(self.boxes(upper).permute(0, 2, 3, 1).reshape(1, -1, 4))
            scores.append(self.scores(upper).permute(0, 2, 3, 1).reshape(1, -1, self.classes))
        moved = torch.cat(boxes, 1)
        priors = torch.linspace(0.1, 0.9, moved.shape[1]).view(1, -1, 1).expand(1, -1, 4)
        centers = priors[..., :2] + moved[..., :2] * 0.1 * priors[..., 2:]
        sizes = priors[..., 2:] * (moved[..., 2:] * 0.2).exp()
        return torch.cat([centers - sizes / 2, centers + sizes / 2], -1), torch.cat(scores, 1).softmax(-1)


class Centers(nn.Module):
    """CenterNet: peaks of a heat map by max pooling, the best of them, and what is gathered there."""

    def __init__(self, width: int = 16, best: int = 8) -> None:
        super().__init__()
        self.seen, self.best = nn.Sequential(conv(3, width, 3, 2), conv(width, width, 3, 2)), best
        self.heat, self.size = nn.Conv2d(width, 3, 1), nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.seen(x)
        heat, size = self.heat(y).sigmoid(), self.size(y).flatten(2).transpose(1, 2)
        peaks = heat * (functional.max_pool2d(heat, 3, 1, 1) == heat).float()
        scores, places = peaks.amax(1).flatten(1).topk(self.best)
        return scores, size.gather(1, places.unsqueeze(-1).expand(-1, -1, 2))


class Distances(nn.Module):
    """YOLOv8's head: boxes as the mean of a distribution of distances, by a softmax and a convolution."""

    def __init__(self, width: int = 16, bins: int = 16) -> None:
        super().__init__()
        self.seen, self.bins = (
            nn.Sequential(conv(3, width, 3, 4, act=nn.SiLU()), conv(width, width, 3, 2)),
            bins,
        )
        self.head, self.classes = nn.Conv2d(width, 4 * bins, 1), nn.Conv2d(width, 5, 1)
        self.mean = nn.Conv2d(bins, 1, 1, bias=False)
        self.mean.weight.data[:] = torch.arange(bins, dtype=torch.float32).view(1, bins, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.seen(x)
        n, _, h, w = y.shape
        far = self.mean(self.head(y).view(n, 4, self.bins, h * w).transpose(2, 1).softmax(1)).view(
            n, 4, h * w
        )
        across, along = torch.meshgrid(torch.arange(w) + 0.5, torch.arange(h) + 0.5, indexing="xy")
        point = torch.stack([across.flatten(), along.flatten()]).unsqueeze(0)
        low, high = point - far[:, :2], point + far[:, 2:]
        boxes = torch.cat([(low + high) / 2, high - low], 1) * 8
        return torch.cat([boxes, self.classes(y).view(n, 5, -1).sigmoid()], 1)


class Gates(nn.Module):
    """CBAM (channels, then places), SKNet (a softmax over kernels), or a non-local block."""

    def __init__(self, width: int, kind: str) -> None:
        super().__init__()
        self.kind, self.dense = kind, nn.Sequential(nn.Linear(width, 8), nn.ReLU(), nn.Linear(8, width))
        self.place, self.small, self.large = (
            nn.Conv2d(2, 1, 7, padding=3),
            conv(width, width),
            conv(width, width, 5),
        )
        self.halves = nn.ModuleList(nn.Conv2d(width, width // 2, 1) for _ in range(3))
        self.back = nn.Conv2d(width // 2, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "cbam":
            gate = (self.dense(x.mean((2, 3))) + self.dense(x.amax((2, 3)))).sigmoid()
            x = x * gate[:, :, None, None]
            return x * self.place(torch.cat([x.mean(1, True), x.amax(1, True)], 1)).sigmoid()  # type: ignore[no-any-return]
        if self.kind == "kernels":
            both = torch.stack([self.small(x), self.large(x)], 1)
            share = torch.stack(
                [self.dense(both.sum(1).mean((2, 3))), self.dense(x.mean((2, 3)))], 1
            ).softmax(1)
            return (both * share[..., None, None]).sum(1)
        q, k, v = (half(x).flatten(2) for half in self.halves)
        y = v @ (q.transpose(1, 2) @ k).softmax(-1).transpose(1, 2)
        return x + self.back(y.view(x.shape[0], -1, *x.shape[2:]))  # type: ignore[no-any-return]


class Windows(nn.Module):
    """MaxViT: attention in windows and on a grid with a bias for distances; `shifted` rolls the picture."""

    def __init__(self, width: int = 16, size: int = 4, grid: bool = False, shifted: bool = False) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = (
            nn.LayerNorm(width),
            nn.Linear(width, width * 3),
            nn.Linear(width, width),
        )
        self.size, self.grid, self.shifted = size, grid, shifted
        self.bias = nn.Parameter(torch.randn(1, 2, size * size, size * size))

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        s = self.size
        y = x.roll((-s // 2, -s // 2), (2, 3)) if self.shifted else x
        if self.grid:
            y = y.view(n, c, s, h // s, s, w // s).permute(0, 3, 5, 2, 4, 1)
        else:
            y = y.view(n, c, h // s, s, w // s, s).permute(0, 2, 4, 3, 5, 1)
        q, k, v = (
            self.qkv(self.norm(y.reshape(-1, s * s, c))).view(-1, s * s, 3, 2, c // 2).permute(2, 0, 3, 1, 4)
        )
        z = ((q @ k.transpose(-2, -1)) * (c // 2) ** -0.5 + self.bias).softmax(-1) @ v
        z = self.out(z.transpose(1, 2).reshape(-1, s * s, c)).view(n, h // s, w // s, s, s, c)
        order = (0, 5, 3, 1, 4, 2) if self.grid else (0, 5, 1, 3, 2, 4)
        z = z.permute(*order).reshape(n, c, h, w)
        return x + (z.roll((s // 2, s // 2), (2, 3)) if self.shifted else z)


class Dynamic(nn.Module):
    """CondConv: kernels mixed for each picture; `modulated` is StyleGAN2's convolution."""

    def __init__(self, width: int = 8, modulated: bool = False) -> None:
        super().__init__()
        self.kernels = nn.Parameter(torch.randn(4, width, width, 3, 3) * 0.1)
        self.stem, self.route, self.style = conv(3, width), nn.Linear(width, 4), nn.Linear(width, width)
        self.modulated = modulated

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        pooled = y.mean((2, 3))
        if self.modulated:
            kernel = self.kernels[0] * self.style(pooled).view(1, -1, 1, 1)
            kernel = kernel * (kernel.square().sum((1, 2, 3), keepdim=True) + 1e-6).rsqrt()
        else:
            kernel = (self.route(pooled).sigmoid().view(4, 1, 1, 1, 1) * self.kernels).sum(0)
        return functional.leaky_relu(functional.conv2d(y, kernel, padding=1), 0.2)


class Deep(nn.Module):
    """RCAN and EDSR: residual blocks with channel attention, a skip over all, sub-pixel upsampling."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1)
        self.blocks = nn.Sequential(
            *(
                Residual(
                    nn.Conv2d(width, width, 3, 1, 1),
                    nn.ReLU(),
                    nn.Conv2d(width, width, 3, 1, 1),
                    Pooled(width),
                )
                for _ in range(3)
            )
        )
        self.wide, self.mean = nn.Conv2d(width, width * 4, 3, padding=1), (0.4488, 0.4371, 0.404)

    def forward(self, x: Tensor) -> Tensor:
        mean = torch.tensor(self.mean).view(1, 3, 1, 1)
        y = self.first(x - mean)
        return (self.last(functional.pixel_shuffle(self.wide(y + self.blocks(y)), 2)) + mean).clamp(0, 1)  # type: ignore[no-any-return]


class Pooled(nn.Module):
    """Channel attention by convolutions of one place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, 4, 1), nn.ReLU(), nn.Conv2d(4, width, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)  # type: ignore[no-any-return]


class Faces(nn.Module):
    """ArcFace: a normalized embedding against normalized class weights; `pair` compares two pictures."""

    def __init__(self, pair: bool = False) -> None:
        super().__init__()
        self.seen = nn.Sequential(
            conv(3, 16, 3, 2, act=nn.PReLU(16)),
            conv(16, 32, 3, 2, act=nn.PReLU(32)),
            nn.Conv2d(32, 32, 16, groups=32),
        )
        self.dense, self.classes, self.pair = nn.Linear(32, 24), nn.Parameter(torch.randn(10, 24)), pair

    def forward(self, *pictures: Tensor) -> Tensor:
        a, *others = (functional.normalize(self.dense(self.seen(x).flatten(1))) for x in pictures)
        if others:
            return functional.cosine_similarity(a, others[0])
        return functional.linear(a, functional.normalize(self.classes)) * 64.0


class Flow(nn.Module):
    """RAFT: correlation of all pairs, looked up around the estimate by sampling, and a convolutional GRU."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.seen, self.hidden = nn.Sequential(conv(3, width, 3, 4), conv(width, width, 3, 2)), nn.Tanh()
        self.gates, self.new = (
            nn.Conv2d(width + 11, width * 2, 3, 1, 1),
            nn.Conv2d(width + 11, width, 3, 1, 1),
        )
        self.delta = nn.Conv2d(width, 2, 3, padding=1)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        a, b = self.seen(left), self.seen(right)
        n, c, h, w = a.shape
        pairs = (a.flatten(2).transpose(1, 2) @ b.flatten(2) / c**0.5).view(n * h * w, 1, h, w)
        across, along = torch.meshgrid(torch.linspace(-1, 1, w), torch.linspace(-1, 1, h), indexing="xy")
        base, flow, state = torch.stack([across, along]).unsqueeze(0), torch.zeros(n, 2, h, w), self.hidden(a)
        near = torch.stack(torch.meshgrid(torch.arange(-1, 2), torch.arange(-1, 2), indexing="xy"), -1) / w
        for _ in range(2):
            where = (base + flow).permute(0, 2, 3, 1).reshape(n * h * w, 1, 1, 2) + near.float()
            cost = (
                functional.grid_sample(pairs, where, align_corners=True).view(n, h, w, 9).permute(0, 3, 1, 2)
            )
            seen = torch.cat([cost, flow], 1)
            z, r = self.gates(torch.cat([state, seen], 1)).sigmoid().chunk(2, 1)
            state = (1 - z) * state + z * self.new(torch.cat([r * state, seen], 1)).tanh()
            flow = flow + self.delta(state)
        return flow


class Pillars(nn.Module):
    """PointPillars: points of each pillar, the largest of them, scattered into a picture from above."""

    def __init__(self, width: int = 16, size: int = 16) -> None:
        super().__init__()
        self.points, self.size = nn.Sequential(nn.Linear(9, width), nn.LayerNorm(width), nn.ReLU()), size
        self.seen = nn.Sequential(conv(width, width), nn.Conv2d(width, 7, 1))

    def forward(self, points: Tensor, places: Tensor) -> Tensor:
        y = self.points(points).amax(1)
        flat = torch.zeros(self.size * self.size, y.shape[1]).scatter(
            0, places.unsqueeze(1).expand(-1, y.shape[1]), y
        )
        return self.seen(flat.t().reshape(1, -1, self.size, self.size))  # type: ignore[no-any-return]


class Merged(nn.Module):
    """ToMe: every second token is averaged into the one most like it."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.pieces, self.out = nn.Conv2d(3, width, 8, 8), nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pieces(x).flatten(2).transpose(1, 2)
        a, b = functional.normalize(x[:, ::2], dim=-1), functional.normalize(x[:, 1::2], dim=-1)
        nearest = (a @ b.transpose(1, 2)).argmax(-1)
        hot = functional.one_hot(nearest, b.shape[1]).to(x.dtype)
        total = x[:, 1::2] + hot.transpose(1, 2) @ x[:, ::2]
        return self.out((total / (1 + hot.sum(1).unsqueeze(-1))).mean(1))  # type: ignore[no-any-return]


class Mixed(nn.Module):
    """ConvMixer; `rebuilt` is RepVGG's block, three branches before they are merged."""

    def __init__(self, rebuilt: bool = False) -> None:
        super().__init__()
        self.stem, self.rebuilt = (
            nn.Sequential(nn.Conv2d(3, 24, 4, 4), nn.GELU(), nn.BatchNorm2d(24)),
            rebuilt,
        )
        self.deep = nn.Sequential(
            nn.Conv2d(24, 24, 7, padding="same", groups=24), nn.GELU(), nn.BatchNorm2d(24)
        )
        self.branches = nn.ModuleList([nn.Conv2d(24, 24, 3, 1, 1), nn.Conv2d(24, 24, 1), nn.BatchNorm2d(24)])
        self.out = nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(24, 10))

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        y = sum(branch(y) for branch in self.branches).relu() if self.rebuilt else y + self.deep(y)  # type: ignore[union-attr]
        return self.out(y)  # type: ignore[no-any-return]


PAIR = {"left": torch.randn(1, 3, 64, 64), "right": torch.randn(1, 3, 64, 64)}
VISION: dict[str, Callable[[], Made]] = {
    "densenet": lambda: (
        steps(conv(3, 16, 3, 2), Dense(16, 8, 3), nn.Conv2d(40, 16, 1), nn.AvgPool2d(2)),
        image(),
    ),
    "inception": lambda: (steps(conv(3, 16, 3, 2), Branches(16, True), nn.MaxPool2d(3, 2)), image()),
    "squeezenet": lambda: (
        steps(
            nn.Conv2d(3, 16, 3, 2),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            Branches(16, False),
            Branches(32, False),
        ),
        image(),
    ),
    "hrnet": lambda: (Streams(), image()),
    "soft_argmax": lambda: (KeyPoints(), image()),
    "deeplabv3_plus": lambda: (Atrous(), image()),
    "retinanet": lambda: (Anchors(), image()),
    "centernet": lambda: (Centers(), image()),
    "yolov8_head": lambda: (Distances(), image()),
    "cbam": lambda: (steps(conv(3, 16, 3, 2), Gates(16, "cbam")), image()),
    "sknet": lambda: (steps(conv(3, 16, 3, 2), Gates(16, "kernels")), image()),
    "non_local": lambda: (steps(conv(3, 16, 3, 4), Gates(16, "places")), image()),
    "maxvit": lambda: (steps(conv(3, 16, 3, 4), Windows(), Windows(grid=True)), image()),
    "shifted_windows": lambda: (steps(conv(3, 16, 3, 4), Windows(shifted=True), nn.Hardtanh()), image()),
    "condconv": lambda: (Dynamic(), image(32)),
    "stylegan2": lambda: (Dynamic(modulated=True), image(32)),
    "rcan": lambda: (Deep(), image(32)),
    "arcface": lambda: (Faces(), image()),
    "siamese": lambda: (Faces(), PAIR),
    "raft": lambda: (Flow(), PAIR),
    "pointpillars": lambda: (
        Pillars(),
        {"points": torch.randn(40, 8, 9), "places": torch.randperm(256)[:40]},
    ),
    "token_merging": lambda: (Merged(), image()),
    "convmixer": lambda: (Mixed(), image()),
    "repvgg": lambda: (Mixed(rebuilt=True), image()),
}
"""What makes a network and its inputs, by its name."""
