"""Networks of speech, of ranking, of tables and of graphs, of six libraries, for `exports_networks.py`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from networks_vision import Made, vectors


def wave(length: int = 4000) -> Tensor:
    return torch.randn(1, length)


class First(nn.Module):
    """The first output of a network: the others are its attention or states."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *tensors: Tensor) -> Any:
        return self.network(*tensors)[0]


def ranking() -> Made:
    """DeepCTR's networks: six sparse features and two dense ones, and a history for those that need it."""
    models = importlib.import_module("deepctr_torch.models")
    inputs = importlib.import_module("deepctr_torch.inputs")

    def columns() -> list[Any]:
        sparse = [inputs.SparseFeat(f"s{i}", vocabulary_size=10 + i, embedding_dim=8) for i in range(6)]
        return [*sparse, *(inputs.DenseFeat(f"d{i}", 1) for i in range(2))]

    def of(name: str, **options: Any) -> Callable[[], nn.Module]:
        return lambda: getattr(models, name)(columns(), columns(), dnn_hidden_units=(16, 8), **options)

    def features() -> tuple[Tensor, ...]:
        return (torch.cat((torch.arange(6).remainder(9).float(), torch.rand(2)))[None],)

    plain = "CCPM DCN DCNMix DeepFM DIFM FiBiNET IFM NFM ONN WDL AutoInt"
    made: Made = {name.lower(): (of(name), features) for name in plain.split()}
    made["afm"] = (lambda: models.AFM(columns(), columns()), features)
    made["mlr"] = (lambda: models.MLR(columns()), features)
    made["pnn"] = (lambda: models.PNN(columns(), dnn_hidden_units=(16, 8), use_outter=True), features)
    made["afn"] = (
        lambda: models.AFN(columns(), columns(), ltl_hidden_size=16, afn_dnn_hidden_units=(16,)),
        features,
    )
    made["deepfm_norm"] = (of("DeepFM", dnn_use_bn=True, dnn_activation="prelu"), features)
    made["dcn_matrix"] = (of("DCN", cross_parameterization="matrix"), features)
    two = {"task_types": ["binary", "binary"], "task_names": ["a", "b"]}
    for name in ("SharedBottom", "ESMM", "MMOE", "PLE"):
        made[name.lower()] = (lambda name=name: getattr(models, name)(columns(), **two), features)

    def histories() -> tuple[list[Any], list[str]]:
        item = inputs.SparseFeat("item", vocabulary_size=12, embedding_dim=8)
        past = inputs.SparseFeat("hist_item", 12, embedding_dim=8, embedding_name="item")
        return [item, inputs.DenseFeat("d", 1), inputs.VarLenSparseFeat(past, maxlen=6)], ["item"]

    def history() -> tuple[Tensor, ...]:
        return (torch.tensor([[3.0, 0.5, 1, 2, 3, 4, 5, 6]]),)

    made["din"] = (lambda: models.DIN(*histories(), dnn_hidden_units=(16, 8)), history)
    made["din_softmax"] = (
        lambda: models.DIN(*histories(), att_weight_normalization=True, att_activation="sigmoid"),
        history,
    )
    return made


def tables() -> Made:
    """TabNet."""
    from pytorch_tabnet import tab_network as t

    sizes: dict[str, Any] = {"input_dim": 8, "output_dim": 3, "n_d": 8, "n_a": 8}
    groups = torch.eye(8)
    return {
        name: (
            lambda mask=mask: t.TabNetNoEmbeddings(**sizes, mask_type=mask, group_attention_matrix=groups),
            lambda: (torch.randn(1, 8),),
        )
        for name, mask in (("tabnet_sparsemax", "sparsemax"), ("tabnet_entmax", "entmax"))
    } | {
        "tabnet": (
            lambda: t.TabNet(
                8,
                3,
                cat_idxs=[0, 1],
                cat_dims=[5, 4],
                cat_emb_dim=[2, 2],
                group_attention_matrix=groups,
            ),
            lambda: (torch.cat((torch.tensor([1.0, 2.0]), torch.randn(6)))[None],),
        )
    }


def separation() -> Made:
    """Asteroid's networks that separate speakers."""
    import asteroid.models as a

    small: dict[str, Any] = {"n_filters": 32, "kernel_size": 16, "stride": 8}
    return {
        "convtasnet": (
            lambda: a.ConvTasNet(2, n_blocks=2, n_repeats=1, bn_chan=16, hid_chan=32, skip_chan=16, **small),
            lambda: (wave(),),
        ),
        "convtasnet_causal": (
            lambda: a.ConvTasNet(
                2,
                n_blocks=2,
                n_repeats=1,
                bn_chan=16,
                hid_chan=32,
                skip_chan=16,
                norm_type="cLN",
                causal=True,
                **small,
            ),
            lambda: (wave(),),
        ),
        "convtasnet_stft": (
            lambda: a.ConvTasNet(
                2, n_blocks=2, n_repeats=1, bn_chan=16, hid_chan=32, skip_chan=16, fb_name="stft", **small
            ),
            lambda: (wave(),),
        ),
        "dprnn": (
            lambda: a.DPRNNTasNet(2, bn_chan=16, hid_size=16, chunk_size=20, n_repeats=1, **small),
            lambda: (wave(2000),),
        ),
        "dptnet": (
            lambda: a.DPTNet(2, n_heads=2, ff_hid=16, chunk_size=20, n_repeats=1, **small),
            lambda: (wave(2000),),
        ),
        "lstm_tasnet": (
            lambda: a.LSTMTasNet(2, n_layers=1, hid_size=16, **small),
            lambda: (wave(2000),),
        ),
        "sudormrf": (
            lambda: a.SuDORMRFNet(2, bn_chan=16, num_blocks=1, upsampling_depth=2, n_filters=32),
            lambda: (wave(),),
        ),
        "sudormrf_improved": (
            lambda: a.SuDORMRFImprovedNet(2, bn_chan=16, num_blocks=1, upsampling_depth=2, n_filters=32),
            lambda: (wave(),),
        ),
        "demask": (
            lambda: a.DeMask(hidden_dims=(32,), n_filters=64, stride=32, kernel_size=64),
            lambda: (wave(),),
        ),
    }


def speech() -> Made:
    """SpeechBrain's encoders, vocoders and enhancers."""

    def of(path: str, *args: Any, first: bool = False, **options: Any) -> Callable[[], nn.Module]:
        module, _, name = path.rpartition(".")

        def network() -> nn.Module:
            made = getattr(importlib.import_module(f"speechbrain.{module}"), name)(*args, **options)
            return First(made) if first else made  # type: ignore[no-any-return]

        return network

    lobes = "lobes.models"
    frames = torch.rand(1, 40, 32)
    voice: dict[str, Any] = {
        "resblock_type": "1",
        "resblock_dilation_sizes": [[1, 3]],
        "resblock_kernel_sizes": [3],
        "upsample_kernel_sizes": [8, 8],
        "upsample_initial_channel": 16,
        "upsample_factors": [4, 4],
    }
    conformer: dict[str, Any] = {"d_ffn": 64, "nhead": 4, "d_model": 32, "kernel_size": 3}
    positions = torch.rand(1, 2 * 40 - 1, 32)
    made: Made = {
        "xvector": (
            of(
                f"{lobes}.Xvector.Xvector",
                "cpu",
                tdnn_channels=[16, 16, 16, 16, 24],
                lin_neurons=8,
                in_channels=32,
            ),
            lambda: (frames,),
        ),
        "ecapa": (
            of(
                f"{lobes}.ECAPA_TDNN.ECAPA_TDNN",
                32,
                lin_neurons=8,
                channels=[16, 16, 16, 16, 48],
                attention_channels=8,
                res2net_scale=4,
                se_channels=8,
            ),
            lambda: (frames,),
        ),
        "crdnn": (
            of(
                f"{lobes}.CRDNN.CRDNN",
                input_shape=frames.shape,
                cnn_channels=[4, 4],
                rnn_neurons=8,
                dnn_neurons=8,
            ),
            lambda: (frames,),
        ),
        "contextnet": (
            of(
                f"{lobes}.ContextNet.ContextNet",
                input_shape=frames.shape,
                num_blocks=3,
                out_channels=[16] * 3,
            ),
            lambda: (frames,),
        ),
        "resnet": (
            of(f"{lobes}.ResNet.ResNet", input_size=32, channels=[8, 8, 8, 8], lin_neurons=8),
            lambda: (frames,),
        ),
        "vanilla": (
            of(f"{lobes}.VanillaNN.VanillaNN", input_shape=frames.shape, dnn_neurons=16),
            lambda: (frames,),
        ),
        "espnet_vgg": (
            of(f"{lobes}.ESPnetVGG.ESPnetVGG", input_shape=frames.shape, rnn_neurons=8, rnn_layers=1),
            lambda: (frames,),
        ),
        "hifigan": (
            of(f"{lobes}.HifiGAN.HifiganGenerator", in_channels=16, out_channels=1, **voice),
            lambda: (torch.rand(1, 16, 20),),
        ),
        "wav2vec_extractor": (
            of(f"{lobes}.wav2vec.W2VLatentExtractor", [16] * 3, [8, 4, 4], [4, 2, 2]),
            lambda: (wave(),),
        ),
        "enhance_resnet": (
            of(f"{lobes}.EnhanceResnet.EnhanceResnet", n_fft=64, channel_counts=[8, 8], first=True),
            lambda: (wave(),),
        ),
        "postnet": (of(f"{lobes}.Tacotron2.Postnet", 16, 16, 5, 2), lambda: (torch.rand(1, 16, 20),)),
        "conv_branch": (of(f"{lobes}.transformer.Branchformer.ConvolutionBranch", 32, 64), lambda: (frames,)),
        "conformer_conv": (of(f"{lobes}.transformer.Conformer.ConvolutionModule", 32, 3), lambda: (frames,)),
        "conformer_layer": (
            of(f"{lobes}.transformer.Conformer.ConformerEncoderLayer", first=True, **conformer),
            lambda: (frames, None, None, positions),
        ),
        "branchformer_layer": (
            of(
                f"{lobes}.transformer.Branchformer.BranchformerEncoderLayer",
                nhead=4,
                d_model=32,
                kernel_size=3,
                first=True,
            ),
            lambda: (frames, None, None, positions),
        ),
        "transformer": (
            of(f"{lobes}.transformer.Transformer.TransformerEncoder", 1, 4, 64, d_model=32, first=True),
            lambda: (frames,),
        ),
        "transformer_decoder": (
            of(f"{lobes}.transformer.Transformer.TransformerDecoder", 1, 4, 64, d_model=32, first=True),
            lambda: (frames, frames),
        ),
        "sinc_conv": (of("nnet.CNN.SincConv", 8, 11, input_shape=(1, 400)), lambda: (wave(400),)),
        "ligru": (of("nnet.RNN.LiGRU", 8, input_shape=(1, 10, 32)), lambda: (torch.rand(1, 10, 32),)),
        "quasi_rnn": (
            of("nnet.quaternion_networks.q_linear.QLinear", 8, input_shape=(1, 10, 32)),
            lambda: (torch.rand(1, 10, 32),),
        ),
        "attention_pooling": (of("nnet.pooling.AttentionPooling", 32), lambda: (frames,)),
        "statistics": (of("nnet.pooling.StatisticsPooling"), lambda: (frames,)),
        "complex_norm": (
            of("nnet.complex_networks.c_linear.CLinear", 8, input_shape=(1, 10, 32)),
            lambda: (torch.rand(1, 10, 32),),
        ),
        "diffwave": (
            of(
                f"{lobes}.DiffWave.DiffWave",
                input_channels=8,
                residual_layers=2,
                residual_channels=8,
                dilation_cycle_length=2,
                total_steps=10,
            ),
            lambda: (wave(2560), torch.tensor([3]), torch.rand(1, 8, 10)),
        ),
        "learned_filterbank": (
            of("lobes.features.Leaf", 8, window_len=25.0, window_stride=10.0, input_shape=(1, 4000)),
            lambda: (wave(),),
        ),
    }
    return made


def spectra() -> Made:
    """nnAudio's transforms of a signal."""
    import nnAudio.features as n

    quiet = {"verbose": False}
    return {
        "stft": (
            lambda: n.STFT(n_fft=64, hop_length=32, output_format="Magnitude", **quiet),
            lambda: (wave(1024),),
        ),
        "stft_complex": (lambda: n.STFT(n_fft=64, hop_length=32, **quiet), lambda: (wave(1024),)),
        "mel": (lambda: n.MelSpectrogram(n_fft=128, n_mels=16, hop_length=64, **quiet), lambda: (wave(),)),
        "mfcc": (
            lambda: n.MFCC(n_mfcc=10, n_fft=128, n_mels=16, hop_length=64, **quiet),
            lambda: (wave(),),
        ),
        "gammatone": (
            lambda: n.Gammatonegram(n_fft=128, n_bins=16, hop_length=64, **quiet),
            lambda: (wave(),),
        ),
        "cqt": (lambda: n.CQT1992v2(sr=8000, fmin=200, n_bins=24, **quiet), lambda: (wave(),)),
        "cqt_octaves": (lambda: n.CQT2010v2(sr=8000, fmin=200, n_bins=24, **quiet), lambda: (wave(),)),
    }


def graphs() -> Made:
    """Layers of torch_geometric, with five nodes and eight edges that the graph gets as an input."""
    nets = importlib.import_module("torch_geometric.nn")
    edges = torch.tensor([[0, 1, 2, 3, 4, 0, 2, 4], [1, 2, 3, 4, 0, 2, 4, 1]])
    points = torch.randn(5, 8)
    layers = {
        "gcn": lambda: nets.GCNConv(8, 8),
        "sage": lambda: nets.SAGEConv(8, 8),
        "gat": lambda: nets.GATConv(8, 4, heads=2),
        "gatv2": lambda: nets.GATv2Conv(8, 4, heads=2),
        "gin": lambda: nets.GINConv(nn.Sequential(nn.Linear(8, 8), nn.ReLU())),
        "cheb": lambda: nets.ChebConv(8, 8, K=3),
        "edge": lambda: nets.EdgeConv(nn.Sequential(nn.Linear(16, 8), nn.ReLU())),
        "transformer": lambda: nets.TransformerConv(8, 4, heads=2),
        "general": lambda: nets.GeneralConv(8, 8),
        "tag": lambda: nets.TAGConv(8, 8),
    }
    made: Made = {name: (layer, lambda: (points, edges)) for name, layer in layers.items()}
    square = torch.ones(1, 5, 5)
    for name, title in (
        ("dense_gcn", "DenseGCNConv"),
        ("dense_sage", "DenseSAGEConv"),
        ("dense_graph", "DenseGraphConv"),
    ):
        made[name] = (
            lambda title=title: getattr(nets, title)(8, 8),
            lambda: (torch.randn(1, 5, 8), square),
        )
    made["dense_gat"] = (lambda: nets.DenseGATConv(8, 4, heads=2), lambda: (vectors(5, 8), square))
    return made
