"""Small networks written by hand, after published architectures, which no rule was tuned on.

`NETWORKS` has a round, a network and its inputs for each name; `benchmarks/architectures.py` exports them.
It needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from unseen_images import (
    Coordinates,
    Correlation,
    Detector,
    Ghost,
    Pyramid,
    Residual,
    Shuffle,
    Simple,
    Spatial,
    Split,
    Squeeze,
    UNet,
    conv,
)

Made = tuple[nn.Module, dict[str, Tensor]]


def image(size: int = 64, channels: int = 3) -> dict[str, Tensor]:
    """A picture [1, channels, size, size]."""
    return {"image": torch.randn(1, channels, size, size)}


def sequence(length: int = 32, width: int = 24) -> dict[str, Tensor]:
    """Steps [1, length, width]."""
    return {"steps": torch.randn(1, length, width)}


class Step(nn.Module):
    """A function as a layer."""

    def __init__(self, made: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.made = made

    def forward(self, x: Tensor) -> Tensor:
        return self.made(x)


class Causal(nn.Module):
    """WaveNet's gated layers with dilations, padded on the left."""

    def __init__(self, width: int = 16, dilations: Sequence[int] = (1, 2, 4, 8)) -> None:
        super().__init__()
        self.dilations = tuple(dilations)
        self.gates = nn.ModuleList(nn.Conv1d(width, width * 2, 2, dilation=d) for d in dilations)
        self.mixed = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for dilation, gate, mixed in zip(self.dilations, self.gates, self.mixed, strict=True):
            a, b = gate(functional.pad(x, (dilation, 0))).chunk(2, 1)
            y = mixed(a.tanh() * b.sigmoid())
            x, total = x + y, total + y
        return total


class Masks(nn.Module):
    """Conv-TasNet: an encoder, masks by global layer norm and dilated depthwise layers, a decoder."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Conv1d(1, width, 16, 8), nn.ConvTranspose1d(width, 1, 16, 8)
        layers: list[nn.Module] = [nn.GroupNorm(1, width)]
        for d in (1, 2, 4):
            depth = nn.Conv1d(width, width, 3, padding=d, dilation=d, groups=width)
            layers.append(
                Residual(
                    nn.Conv1d(width, width, 1),
                    nn.PReLU(),
                    nn.GroupNorm(1, width),
                    depth,
                    nn.PReLU(),
                    nn.Conv1d(width, width, 1),
                )
            )
        self.masks = nn.Sequential(*layers, nn.Conv1d(width, width * 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.encoder(x).relu()
        n, c, t = y.shape
        masked = self.masks(y).view(n, 2, c, t).sigmoid() * y.unsqueeze(1)
        return self.decoder(masked.view(n * 2, c, t)).view(n, 2, -1)  # type: ignore[no-any-return]


class Recurrent(nn.Module):
    """CRNN: columns of a convolved line of text through a recurrent layer, in both directions."""

    def __init__(self, kind: str = "LSTM", height: int = 32) -> None:
        super().__init__()
        self.seen = nn.Sequential(conv(1, 16, 3, 2), conv(16, 32, 3, 2), nn.MaxPool2d((2, 1)), conv(32, 32))
        self.rnn = getattr(nn, kind)(32 * height // 8, 24, bidirectional=True, batch_first=kind == "GRU")
        self.batch_first, self.out = kind == "GRU", nn.Linear(48, 37)

    def forward(self, x: Tensor) -> Tensor:
        y = self.seen(x).flatten(1, 2)
        y = y.transpose(1, 2) if self.batch_first else y.permute(2, 0, 1)
        return self.out(self.rnn(y)[0]).log_softmax(-1)  # type: ignore[no-any-return]


class Mixer(nn.Module):
    """MLP-Mixer's layer; gMLP's with a gate over tokens."""

    def __init__(self, tokens: int, width: int, gated: bool = False) -> None:
        super().__init__()
        self.norm, self.second, self.gated = nn.LayerNorm(width), nn.LayerNorm(width), gated
        self.tokens = nn.Linear(tokens, tokens)
        self.wide, self.back = nn.Linear(width, width * 2), nn.Linear(width if gated else width * 2, width)

    def forward(self, x: Tensor) -> Tensor:
        if self.gated:
            a, b = functional.gelu(self.wide(self.norm(x))).chunk(2, -1)
            return x + self.back(a * self.tokens(self.second(b).transpose(1, 2)).transpose(1, 2))  # type: ignore[no-any-return]
        x = x + self.tokens(self.norm(x).transpose(1, 2)).transpose(1, 2)
        return x + self.back(functional.gelu(self.wide(self.second(x)), approximate="tanh"))  # type: ignore[no-any-return]


class Tokens(nn.Module):
    """Patches of a picture as tokens, some layers on them, and their mean."""

    def __init__(self, *layers: nn.Module, width: int = 32, piece: int = 8) -> None:
        super().__init__()
        self.pieces, self.layers = nn.Conv2d(3, width, piece, piece), nn.Sequential(*layers)
        self.out = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.layers(self.pieces(x).flatten(2).transpose(1, 2)).mean(1))  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Attention over tokens, over channels (XCiT), linear (EfficientViT), or with talking heads."""

    def __init__(self, width: int, kind: str = "plain", heads: int = 4) -> None:
        super().__init__()
        self.kind, self.heads = kind, heads
        self.qkv, self.out = nn.Linear(width, width * 3, bias=False), nn.Linear(width, width)
        self.heat = nn.Parameter(torch.ones(heads, 1, 1))
        self.talk = nn.Linear(heads, heads)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        if self.kind == "channels":
            q, k, v = (a.transpose(-2, -1) for a in (q, k, v))
            y = (
                functional.normalize(q, dim=-1)
                @ functional.normalize(k, dim=-1).transpose(-2, -1)
                * self.heat
            ).softmax(-1) @ v
            y = y.permute(0, 3, 1, 2).reshape(n, t, c)
        elif self.kind == "linear":
            q, k = functional.relu(q), functional.relu(k)
            y = q @ (k.transpose(-2, -1) @ v) / ((q * k.sum(-2, keepdim=True)).sum(-1, keepdim=True) + 1e-6)
            y = y.transpose(1, 2).reshape(n, t, c)
        elif self.kind == "talking":
            a = self.talk((q @ k.transpose(-2, -1)).permute(0, 2, 3, 1)).softmax(2).permute(0, 3, 1, 2)
            y = (a @ v).transpose(1, 2).reshape(n, t, c)
        else:
            y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, c)
        return x + self.scale * self.out(y)  # type: ignore[no-any-return]


class Tables(nn.Module):
    """DLRM: embeddings and dense features, their products below the diagonal, and a tower."""

    def __init__(self, fields: int = 4, width: int = 8) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(50, width) for _ in range(fields))
        self.dense, count = nn.Linear(13, width), (fields + 1) * fields // 2
        self.top = nn.Sequential(nn.Linear(width + count, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
        self.register_buffer("below", torch.tril_indices(fields + 1, fields + 1, -1))

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        x = self.dense(dense)
        y = torch.stack([x, *(table(sparse[:, i]) for i, table in enumerate(self.tables))], 1)
        z = torch.bmm(y, y.transpose(1, 2))[:, self.below[0], self.below[1]]  # type: ignore[index]
        return self.top(torch.cat([x, z], 1))  # type: ignore[no-any-return]


class Points(nn.Module):
    """DGCNN's edge convolution: the nearest points of each, and the largest over them."""

    def __init__(self, nearest: int = 4, width: int = 16) -> None:
        super().__init__()
        self.nearest, self.edge = nearest, conv(6, width, 1, act=nn.LeakyReLU(0.2))
        self.out = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        far = ((x.unsqueeze(2) - x.unsqueeze(1)) ** 2).sum(-1)
        index = far.topk(self.nearest, dim=-1, largest=False)[1]
        n, p, c = x.shape
        near = x.unsqueeze(1).expand(n, p, p, c).gather(2, index.unsqueeze(-1).expand(n, p, self.nearest, c))
        here = x.unsqueeze(2).expand_as(near)
        return self.out(self.edge(torch.cat([near - here, here], -1).permute(0, 3, 1, 2)).amax(-1).amax(-1))  # type: ignore[no-any-return]


class Forecast(nn.Module):
    """N-BEATS: blocks that subtract from the past what they explain, and add up what follows."""

    def __init__(self, past: int = 48, ahead: int = 12) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(past, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, past + ahead)
            )
            for _ in range(3)
        )
        self.past = past

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor | float = 0.0
        for block in self.blocks:
            back, ahead = block(x).split([self.past, 12], -1)
            x, total = x - back, total + ahead
        return total  # type: ignore[return-value]


class Waves(nn.Module):
    """A radiance field: sines and cosines of positions, a skip in the middle, density and color."""

    def __init__(self, bands: int = 4, width: int = 32) -> None:
        super().__init__()
        self.register_buffer("bands", 2.0 ** torch.arange(bands))
        come = 3 + 6 * bands
        self.first, self.second = nn.Linear(come, width), nn.Linear(width + come, width)
        self.density, self.color = nn.Linear(width, 1), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = (x[..., None] * self.bands).flatten(-2)  # type: ignore[operator]
        y = torch.cat([x, y.sin(), y.cos()], -1)
        z = self.second(torch.cat([self.first(y).relu(), y], -1)).relu()
        return functional.softplus(self.density(z)), self.color(z).sigmoid()


class Graph(nn.Module):
    """A graph attention layer on a dense adjacency."""

    def __init__(self, come: int = 16, go: int = 16) -> None:
        super().__init__()
        self.mixed, self.a, self.b = nn.Linear(come, go, bias=False), nn.Linear(go, 1), nn.Linear(go, 1)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        h = self.mixed(nodes)
        e = functional.leaky_relu(self.a(h) + self.b(h).transpose(1, 2), 0.2).masked_fill(edges == 0, -1e9)
        return functional.elu(e.softmax(-1) @ h)


def steps(*layers: nn.Module) -> nn.Sequential:
    """Layers in a row."""
    return nn.Sequential(*layers)


def _pieces(x: Tensor) -> Tensor:
    return functional.unfold(x, 4, stride=4).transpose(1, 2)


NETWORKS: dict[str, tuple[int, Callable[[], Made]]] = {
    "ghostnet": (2, lambda: (steps(conv(3, 16, 3, 2), Ghost(16, 32), Squeeze(32), Ghost(32, 32)), image())),
    "shufflenet_v2": (
        2,
        lambda: (
            steps(conv(3, 24, 3, 2), nn.MaxPool2d(3, 2, 1, ceil_mode=True), Shuffle(24), Shuffle(24)),
            image(),
        ),
    ),
    "res2net": (
        2,
        lambda: (
            steps(
                conv(3, 32, 7, 2), Residual(conv(32, 32, 1), Split(32), conv(32, 32, 1)), Squeeze(32, True)
            ),
            image(),
        ),
    ),
    "coordinate_attention": (
        2,
        lambda: (steps(conv(3, 16, 3, 2, act=nn.Hardswish()), Coordinates(16)), image()),
    ),
    "pspnet": (
        2,
        lambda: (
            steps(conv(3, 16, 3, 2), conv(16, 16, 3, 2), Pyramid(16, (1, 2, 4, 8)), conv(32, 8)),
            image(),
        ),
    ),
    "unet": (2, lambda: (UNet(), image())),
    "unet_bilinear": (2, lambda: (UNet(resized="bilinear"), image())),
    "yolox": (2, lambda: (Detector(), image())),
    "wavenet": (2, lambda: (Causal(), {"sound": torch.randn(1, 16, 64)})),
    "conv_tasnet": (2, lambda: (Masks(), {"sound": torch.randn(1, 1, 256)})),
    "crnn_lstm": (2, lambda: (Recurrent(), {"line": torch.randn(1, 1, 32, 64)})),
    "mlp_mixer": (2, lambda: (Tokens(Mixer(64, 32), Mixer(64, 32)), image())),
    "gmlp": (2, lambda: (Tokens(Mixer(64, 32, gated=True)), image())),
    "xcit": (2, lambda: (Tokens(Attention(32, "channels"), nn.LayerNorm(32)), image())),
    "efficientvit": (2, lambda: (Tokens(Attention(32, "linear"), nn.LayerNorm(32)), image())),
    "spatial_transformer": (2, lambda: (Spatial(), image())),
    "dlrm": (2, lambda: (Tables(), {"dense": torch.randn(1, 13), "sparse": torch.randint(0, 50, (1, 4))})),
    "dgcnn": (2, lambda: (Points(), {"points": torch.randn(1, 32, 3)})),
    "espcn": (
        2,
        lambda: (
            steps(
                nn.Conv2d(3, 16, 5, padding=2), nn.Tanh(), nn.Conv2d(16, 12, 3, padding=1), nn.PixelShuffle(2)
            ),
            image(32),
        ),
    ),
    "cost_volume": (
        3,
        lambda: (Correlation(), {"left": torch.randn(1, 3, 32, 48), "right": torch.randn(1, 3, 32, 48)}),
    ),
    "nafnet": (
        3,
        lambda: (
            steps(nn.Conv2d(3, 16, 3, padding=1), Simple(16), nn.PixelUnshuffle(2), Simple(64)),
            image(32),
        ),
    ),
    "nbeats": (3, lambda: (Forecast(), {"past": torch.randn(1, 48)})),
    "radiance_field": (3, lambda: (Waves(), {"where": torch.randn(1, 64, 3)})),
    "graph_attention": (
        3,
        lambda: (Graph(), {"nodes": torch.randn(1, 20, 16), "edges": torch.randint(0, 2, (1, 20, 20))}),
    ),
    "crnn_gru": (3, lambda: (Recurrent("GRU"), {"line": torch.randn(1, 1, 32, 64)})),
    "talking_heads": (3, lambda: (Tokens(Attention(32, "talking"), nn.RMSNorm(32), Attention(32)), image())),
    "unet_nearest": (
        3,
        lambda: (steps(UNet(resized="nearest"), nn.InstanceNorm2d(2, affine=True), nn.Softmax(1)), image()),
    ),
    "tokens_unfolded": (
        3,
        lambda: (
            steps(Step(_pieces), nn.Linear(48, 32), nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)),
            image(32),
        ),
    ),
}
"""A name, its round, and what makes the network and its inputs."""
