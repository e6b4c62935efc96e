"""Small networks of the fourth round for sound, series, tables and control, by hand. It needs torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from unseen import Made, image, sequence, steps
from unseen_images import conv


class Separable(nn.Module):
    """QuartzNet and ContextNet: depthwise and pointwise convolutions over time, with a channel gate."""

    def __init__(self, width: int = 24, gated: bool = False) -> None:
        super().__init__()
        self.deep = nn.Conv1d(width, width, 11, padding=5, groups=width, bias=False)
        self.point, self.norm = nn.Conv1d(width, width, 1, bias=False), nn.BatchNorm1d(width)
        self.gate = nn.Sequential(nn.Linear(width, 6), nn.ReLU(), nn.Linear(6, width)) if gated else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.point(self.deep(x)))
        if self.gate is not None:
            y = y * self.gate(y.mean(-1)).sigmoid().unsqueeze(-1)
        return functional.silu(x + y) if self.gate is not None else functional.relu(x + y)


class Conformer(nn.Module):
    """A conformer's block: half a feed-forward, attention with relative positions, a gated convolution."""

    def __init__(self, width: int = 24, length: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.feed = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 48), nn.SiLU(), nn.Linear(48, width)) for _ in range(2)
        )
        self.qkv, self.places, self.out = (
            nn.Linear(width, width * 3),
            nn.Linear(width, width),
            nn.Linear(width, width),
        )
        self.u, self.v = (nn.Parameter(torch.randn(heads, 1, width // heads)) for _ in range(2))
        self.wide, self.heads = nn.Conv1d(width, width * 2, 1), heads
        self.deep = nn.Sequential(
            nn.Conv1d(width, width, 15, padding=7, groups=width),
            nn.BatchNorm1d(width),
            nn.SiLU(),
            nn.Conv1d(width, width, 1),
        )
        self.register_buffer("waves", torch.randn(1, 2 * length - 1, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + 0.5 * self.feed[0](self.norms[0](x))
        n, t, c = x.shape
        q, k, v = self.qkv(self.norms[1](x)).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        p = self.places(self.waves).view(1, -1, self.heads, c // self.heads).transpose(1, 2)  # type: ignore[arg-type]
        far = functional.pad((q + self.v) @ p.transpose(-2, -1), (1, 0))
        far = far.view(n, self.heads, 2 * t, t)[:, :, 1:].reshape(n, self.heads, t, 2 * t - 1)[..., :t]
        a = (((q + self.u) @ k.transpose(-2, -1) + far) / (c // self.heads) ** 0.5).softmax(-1)
        x = x + self.out((a @ v).transpose(1, 2).reshape(n, t, c))
        x = x + self.deep(functional.glu(self.wide(self.norms[2](x).transpose(1, 2)), 1)).transpose(1, 2)
        return self.norms[3](x + 0.5 * self.feed[1](x))  # type: ignore[no-any-return]


class Demucs(nn.Module):
    """Demucs: strided convolutions with gates, an LSTM in the middle, transposed convolutions back."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv1d(i, o, 8, 4, 2), nn.ReLU(), nn.Conv1d(o, o * 2, 1), nn.GLU(1))
            for i, o in ((1, width), (width, width * 2))
        )
        self.middle, self.back = (
            nn.LSTM(width * 2, width * 2, 2, batch_first=True),
            nn.Linear(width * 2, width * 2),
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose1d(i, o, 8, 4, 2) for i, o in ((width * 2, width), (width, 4))
        )

    def forward(self, x: Tensor) -> Tensor:
        scale = 1e-3 + x.std(-1, keepdim=True)
        x, kept = x / scale, []
        for down in self.down:
            x = down(x)
            kept.append(x)
        x = self.back(self.middle(x.transpose(1, 2))[0]).transpose(1, 2)
        for number, up in enumerate(self.up):
            x = up(x + kept[1 - number])
            x = x.relu() if number == 0 else x
        return x * scale


class Paths(nn.Module):
    """DPRNN: chunks of a sound, a GRU in each chunk and one across them."""

    def __init__(self, width: int = 16, chunk: int = 8) -> None:
        super().__init__()
        self.encoder, self.chunk = nn.Conv1d(1, width, 16, 8), chunk
        self.inner, self.outer = (
            nn.GRU(width, width, bidirectional=True, batch_first=True) for _ in range(2)
        )
        self.flat, self.flat2, self.norm = (
            nn.Linear(width * 2, width),
            nn.Linear(width * 2, width),
            nn.LayerNorm(width),
        )
        self.decoder = nn.ConvTranspose1d(width, 1, 16, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.encoder(x).relu()
        n, c, t = y.shape
        z = y.view(n, c, t // self.chunk, self.chunk).permute(0, 2, 3, 1).reshape(-1, self.chunk, c)
        z = z + self.norm(self.flat(self.inner(z)[0]))
        z = z.view(n, -1, self.chunk, c).transpose(1, 2).reshape(-1, t // self.chunk, c)
        z = z + self.norm(self.flat2(self.outer(z)[0]))
        z = z.view(n, self.chunk, -1, c).permute(0, 3, 2, 1).reshape(n, c, t)
        return self.decoder(z.sigmoid() * y)  # type: ignore[no-any-return]


class Spectrum(nn.Module):
    """A spectrogram by a matrix of waves, mel bands, the logarithm, normalization, and a recurrent gate."""

    def __init__(self, bins: int = 33, bands: int = 20) -> None:
        super().__init__()
        angle = torch.arange(bins).view(-1, 1) * torch.arange(64) * (2 * torch.pi / 64)
        waves = torch.cat([angle.cos(), angle.sin()]) * torch.hann_window(64)
        self.register_buffer("waves", waves.unsqueeze(1))
        self.register_buffer("mel", torch.rand(bands, bins))
        self.rnn, self.out, self.bins = nn.GRU(bands, 24, batch_first=True), nn.Linear(24, 1), bins

    def forward(self, x: Tensor) -> Tensor:
        y = functional.conv1d(functional.pad(x, (32, 32), mode="reflect"), self.waves, stride=16)  # type: ignore[arg-type]
        power = y[:, : self.bins] ** 2 + y[:, self.bins :] ** 2
        bands = (self.mel @ power).clamp(min=1e-10).log()  # type: ignore[operator]
        bands = (bands - bands.mean(-1, keepdim=True)) / (bands.std(-1, keepdim=True) + 1e-5)
        return self.out(self.rnn(bands.transpose(1, 2))[0]).sigmoid()  # type: ignore[no-any-return]


class Speaker(nn.Module):
    """ECAPA-TDNN: dilated Res2Net layers, attentive statistics pooling, an embedding."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(20, width, 5, padding=2), nn.ReLU(), nn.BatchNorm1d(width))
        self.parts = nn.ModuleList(nn.Conv1d(8, 8, 3, padding=d, dilation=d) for d in (2, 3))
        self.seen = nn.Sequential(nn.Conv1d(width * 3, 16, 1), nn.Tanh(), nn.Conv1d(16, width, 1))
        self.out = nn.Sequential(nn.BatchNorm1d(width * 2), nn.Linear(width * 2, 16))

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        a, b, c = y.chunk(3, 1)
        b = self.parts[0](b).relu()
        y = y + torch.cat([a, b, self.parts[1](c + b).relu()], 1)
        mean, spread = y.mean(-1, True), y.var(-1, keepdim=True).clamp(min=1e-4).sqrt()
        share = self.seen(torch.cat([y, mean.expand_as(y), spread.expand_as(y)], 1)).softmax(-1)
        mean = (share * y).sum(-1)
        spread = ((share * y * y).sum(-1) - mean * mean).clamp(min=1e-4).sqrt()
        return functional.normalize(self.out(torch.cat([mean, spread], 1)))


class Joiner(nn.Module):
    """A transducer: embedded tokens and frames, added for all pairs, and a distribution over words."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.words, self.before = nn.Embedding(40, width), nn.Conv1d(width, width, 2, groups=4)
        self.frames, self.out = nn.Linear(20, width), nn.Linear(width, 40)

    def forward(self, frames: Tensor, words: Tensor) -> Tensor:
        y = self.before(functional.pad(self.words(words).transpose(1, 2), (1, 0))).relu().transpose(1, 2)
        return self.out((self.frames(frames).unsqueeze(2) + y.unsqueeze(1)).tanh()).log_softmax(-1)  # type: ignore[no-any-return]


class Features(nn.Module):
    """Recommenders: DeepFM, cross layers (DCN), xDeepFM's outer products, or experts with gates (MMoE)."""

    def __init__(self, kind: str, fields: int = 6, width: int = 8) -> None:
        super().__init__()
        self.kind, flat = kind, fields * width
        self.table, self.first = nn.Embedding(60, width), nn.Embedding(60, 1)
        self.deep = nn.Sequential(nn.Linear(flat, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1))
        self.cross = nn.ModuleList(nn.Linear(flat, flat) for _ in range(2))
        self.outer = nn.Conv1d(fields * fields, 10, 1)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(flat, 12), nn.ReLU()) for _ in range(3))
        self.gates = nn.ModuleList(nn.Linear(flat, 3) for _ in range(2))
        self.towers = nn.ModuleList(nn.Linear(12, 1) for _ in range(2))

    def forward(self, fields: Tensor) -> Tensor:
        e = self.table(fields)
        flat = e.flatten(1)
        if self.kind == "deepfm":
            pairs = 0.5 * (e.sum(1) ** 2 - (e**2).sum(1)).sum(1, keepdim=True)
            return (self.first(fields).sum(1) + pairs + self.deep(flat)).sigmoid()  # type: ignore[no-any-return]
        if self.kind == "dcn":
            x = flat
            for layer in self.cross:
                x = flat * layer(x) + x
            return torch.cat([x, self.deep(flat)], 1)
        if self.kind == "xdeepfm":
            outer = torch.einsum("nhd,nmd->nhmd", e, e).flatten(1, 2)
            return self.outer(outer).sum(-1)  # type: ignore[no-any-return]
        made = torch.stack([expert(flat) for expert in self.experts], 1)
        mixed = [(gate(flat).softmax(-1).unsqueeze(1) @ made).squeeze(1) for gate in self.gates]
        return torch.cat([tower(y).sigmoid() for tower, y in zip(self.towers, mixed, strict=True)], 1)


class Interest(nn.Module):
    """DIN: a user's history weighted by how it fits the item, with padding masked."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.table = nn.Embedding(60, width)
        self.fit = nn.Sequential(nn.Linear(width * 4, 16), nn.PReLU(), nn.Linear(16, 1))
        self.out = nn.Sequential(nn.Linear(width * 2, 8), nn.ReLU(), nn.Linear(8, 2), nn.Softmax(-1))

    def forward(self, item: Tensor, history: Tensor) -> Tensor:
        one, past = self.table(item), self.table(history)
        wide = one.expand_as(past)
        score = self.fit(torch.cat([wide, past, wide - past, wide * past], -1)).squeeze(-1)
        score = torch.where(history > 0, score, torch.full_like(score, -1e4)).softmax(-1)
        return self.out(torch.cat([one.squeeze(1), (score.unsqueeze(1) @ past).squeeze(1)], -1))  # type: ignore[no-any-return]


class Fusion(nn.Module):
    """A temporal fusion transformer's parts: gated residuals, variables chosen by a softmax, quantiles."""

    def __init__(self, width: int = 12, variables: int = 4) -> None:
        super().__init__()
        self.embedded = nn.ModuleList(nn.Linear(1, width) for _ in range(variables))
        self.choice, self.rnn = nn.Linear(variables, variables), nn.LSTM(width, width, batch_first=True)
        self.first, self.gate, self.norm = (
            nn.Linear(width, width),
            nn.Linear(width, width * 2),
            nn.LayerNorm(width),
        )
        self.attention, self.out = nn.MultiheadAttention(width, 2, batch_first=True), nn.Linear(width, 3)

    def forward(self, series: Tensor) -> Tensor:
        parts = [layer(series[..., i : i + 1]) for i, layer in enumerate(self.embedded)]
        share = self.choice(series).softmax(-1)
        x = (torch.stack(parts, -1) * share.unsqueeze(2)).sum(-1)
        y = self.rnn(x)[0]
        x = self.norm(x + functional.glu(self.gate(functional.elu(self.first(y))), -1))
        mask = torch.triu(torch.ones(series.shape[1], series.shape[1], dtype=torch.bool), 1)
        return self.out(x + self.attention(x, x, x, attn_mask=mask, need_weights=False)[0])[:, -1]  # type: ignore[no-any-return]


class Trend(nn.Module):
    """DLinear and Autoformer: a moving average, what remains of it, and a linear forecast of each."""

    def __init__(self, past: int = 48, ahead: int = 12) -> None:
        super().__init__()
        self.slow, self.fast = nn.Linear(past, ahead), nn.Linear(past, ahead)

    def forward(self, series: Tensor) -> Tensor:
        last = series[:, -1:].detach()
        x = (series - last).transpose(1, 2)
        padded = torch.cat([x[..., :1].repeat(1, 1, 6), x, x[..., -1:].repeat(1, 1, 6)], -1)
        slow = functional.avg_pool1d(padded, 13, 1)
        return (self.slow(slow) + self.fast(x - slow)).transpose(1, 2) + last  # type: ignore[no-any-return]


class Retained(nn.Module):
    """RetNet (`decay`), linear attention by random features (Performer), or projected lengths (Linformer)."""

    def __init__(self, kind: str, width: int = 24, length: int = 32) -> None:
        super().__init__()
        self.kind, self.qkv, self.out = kind, nn.Linear(width, width * 3), nn.Linear(width, width)
        far = torch.arange(length).view(-1, 1) - torch.arange(length)
        self.register_buffer("decay", torch.where(far >= 0, 0.9 ** far.clamp(min=0), torch.zeros(())))
        self.norm, self.gate = nn.GroupNorm(2, width), nn.Linear(width, width)
        self.random, self.short = nn.Parameter(torch.randn(width, 16)), nn.Parameter(torch.randn(8, length))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        if self.kind == "decay":
            y = (q @ k.transpose(1, 2) * self.decay) @ v
            y = self.norm(y.transpose(1, 2)).transpose(1, 2) * functional.silu(self.gate(x))
        elif self.kind == "random":
            a, b = (((z @ self.random) - (z * z).sum(-1, keepdim=True) / 2).exp() + 1e-4 for z in (q, k))
            y = (a @ (b.transpose(1, 2) @ v)) / (a @ b.sum(1).unsqueeze(-1))
        else:
            a, b = self.short @ k, self.short @ v
            y = (q @ a.transpose(1, 2) / 5.0).softmax(-1) @ b
        return x + self.out(y)  # type: ignore[no-any-return]


class Policy(nn.Module):
    """Control: a squashed Gaussian (SAC), or a dueling value with the greedy action (`dueling`)."""

    def __init__(self, dueling: bool = False) -> None:
        super().__init__()
        self.body, self.dueling = (
            nn.Sequential(nn.Linear(17, 32), nn.ELU(), nn.Linear(32, 32), nn.Tanh()),
            dueling,
        )
        self.mean, self.spread, self.value = nn.Linear(32, 6), nn.Linear(32, 6), nn.Linear(32, 1)

    def forward(self, state: Tensor) -> tuple[Tensor, Tensor]:
        y = self.body((state - state.mean(-1, True)).clamp(-5, 5))
        if self.dueling:
            gain = self.mean(y)
            value = self.value(y) + gain - gain.mean(-1, keepdim=True)
            return value, value.argmax(-1, keepdim=True)
        spread = self.spread(y).clamp(-20, 2).exp()
        return self.mean(y).tanh(), (1 - self.mean(y).tanh() ** 2 + 1e-6).log() - spread.log()


class Denoiser(nn.Module):
    """A diffusion U-Net: waves of the time step, group norms with scale and shift, attention."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(16, 32), nn.SiLU(), nn.Linear(32, width * 2))
        self.stem, self.down = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, width, 3, 2, 1)
        self.norm, self.middle = nn.GroupNorm(4, width), nn.Conv2d(width, width, 3, padding=1)
        self.attention, self.out = (
            nn.MultiheadAttention(width, 2, batch_first=True),
            nn.Conv2d(width * 2, 3, 3, 1, 1),
        )

    def forward(self, image: Tensor, step: Tensor) -> Tensor:
        angle = step.unsqueeze(-1) * torch.exp(torch.arange(8) * -0.8)
        scale, shift = self.time(torch.cat([angle.sin(), angle.cos()], -1))[:, :, None, None].chunk(2, 1)
        x = self.stem(image)
        y = functional.silu(self.norm(self.down(x)) * (1 + scale) + shift)
        z = self.middle(y).flatten(2).transpose(1, 2)
        z = z + self.attention(z, z, z, need_weights=False)[0]
        y = y + z.transpose(1, 2).reshape(y.shape)
        return self.out(torch.cat([x, functional.interpolate(y, scale_factor=2.0)], 1))  # type: ignore[no-any-return]


class Splines(nn.Module):
    """A Kolmogorov-Arnold layer: piecewise cubic functions of each input, by comparisons and products."""

    def __init__(self, come: int = 6, go: int = 5, knots: int = 8) -> None:
        super().__init__()
        self.plain, self.weight = nn.Linear(come, go), nn.Parameter(torch.randn(go, come, knots - 3) * 0.1)
        self.register_buffer("knots", torch.linspace(-2, 2, knots + 1))

    def forward(self, x: Tensor) -> Tensor:
        k: Tensor = self.knots  # type: ignore[assignment]
        y = x.unsqueeze(-1)
        bases = ((y >= k[:-1]) & (y < k[1:])).to(x.dtype)
        for order in range(1, 4):
            left = (y - k[: -order - 1]) / (k[order:-1] - k[: -order - 1]) * bases[..., :-1]
            bases = left + (k[order + 1 :] - y) / (k[order + 1 :] - k[1:-order]) * bases[..., 1:]
        return self.plain(functional.silu(x)) + torch.einsum("nik,oik->no", bases, self.weight)  # type: ignore[no-any-return]


class Coupled(nn.Module):
    """A normalizing flow: halves that scale and shift each other, with the logarithm of the volume."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.nets = nn.ModuleList(
            nn.Sequential(nn.Linear(width // 2, 16), nn.Mish(), nn.Linear(16, width)) for _ in range(3)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        volume = torch.zeros(x.shape[0])
        for net in self.nets:
            a, b = x.chunk(2, -1)
            scale, shift = net(a).chunk(2, -1)
            b = b * scale.tanh().exp() + shift
            volume, x = volume + scale.tanh().sum(-1), torch.cat([b, a], -1)
        return x, volume


class Capsules(nn.Module):
    """Capsules: routing by agreement between votes, with squashed lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.seen, self.votes = conv(3, 32, 5, 8), nn.Parameter(torch.randn(1, 64, 5, 8, 8) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        u = self.squashed(self.seen(x).reshape(1, 64, 1, 8, -1).mean(-1, keepdim=True))
        votes = (self.votes @ u).squeeze(-1)
        share = torch.zeros(1, 64, 5, 1)
        for _ in range(2):
            v = self.squashed((share.softmax(2) * votes).sum(1, keepdim=True))
            share = share + (votes * v).sum(-1, keepdim=True)
        return v.squeeze(1).norm(dim=-1)

    @staticmethod
    def squashed(x: Tensor) -> Tensor:
        """Vectors with their length between 0 and 1."""
        square = (x * x).sum(-1, keepdim=True)
        return x * square / (1 + square) / (square + 1e-8).sqrt()


def _ints(top: int, *shape: int) -> Tensor:
    return torch.randint(1, top, shape)


FRAMES = {"frames": torch.randn(1, 24, 64)}
SEQUENCES: dict[str, Callable[[], Made]] = {
    "quartznet": lambda: (steps(Separable(), Separable(), nn.Conv1d(24, 30, 1), nn.LogSoftmax(1)), FRAMES),
    "contextnet": lambda: (steps(Separable(gated=True), Separable(gated=True)), FRAMES),
    "conformer": lambda: (steps(Conformer(), Conformer()), sequence()),
    "demucs": lambda: (Demucs(), {"sound": torch.randn(1, 1, 256)}),
    "dprnn": lambda: (Paths(), {"sound": torch.randn(1, 1, 520)}),
    "spectral_vad": lambda: (Spectrum(), {"sound": torch.randn(1, 1, 512)}),
    "ecapa_tdnn": lambda: (Speaker(), {"bands": torch.randn(1, 20, 48)}),
    "transducer": lambda: (Joiner(), {"frames": torch.randn(1, 10, 20), "words": _ints(40, 1, 6)}),
    "deepfm": lambda: (Features("deepfm"), {"fields": _ints(60, 1, 6)}),
    "dcn": lambda: (Features("dcn"), {"fields": _ints(60, 1, 6)}),
    "xdeepfm": lambda: (Features("xdeepfm"), {"fields": _ints(60, 1, 6)}),
    "mmoe": lambda: (Features("mmoe"), {"fields": _ints(60, 1, 6)}),
    "din": lambda: (Interest(), {"item": _ints(60, 1, 1), "history": _ints(60, 1, 12)}),
    "temporal_fusion": lambda: (Fusion(), {"series": torch.randn(1, 20, 4)}),
    "dlinear": lambda: (Trend(), {"series": torch.randn(1, 48, 3)}),
    "retnet": lambda: (Retained("decay"), sequence()),
    "performer": lambda: (Retained("random"), sequence()),
    "linformer": lambda: (Retained("short"), sequence()),
    "sac": lambda: (Policy(), {"state": torch.randn(1, 17)}),
    "dueling_dqn": lambda: (Policy(dueling=True), {"state": torch.randn(1, 17)}),
    "diffusion_unet": lambda: (Denoiser(), {**image(16), "step": torch.tensor([7.0])}),
    "kan": lambda: (steps(Splines(), Splines(5, 3)), {"x": torch.randn(1, 6)}),
    "coupling_flow": lambda: (Coupled(), {"x": torch.randn(1, 8)}),
    "capsules": lambda: (Capsules(), image()),
    "dcgan": lambda: (
        steps(
            nn.ConvTranspose2d(16, 32, 4),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 4, 2, 1),
            nn.InstanceNorm2d(16),
            nn.SELU(),
            nn.ConvTranspose2d(16, 3, 3, 2, 1, output_padding=1),
            nn.Tanh(),
        ),
        {"noise": torch.randn(1, 16, 1, 1)},
    ),
}
"""What makes a network and its inputs, by its name."""
