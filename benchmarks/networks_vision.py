"""Networks of pictures, and transformers, of six libraries, for `exports_networks.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Made = dict[str, tuple[Callable[[], nn.Module], Callable[[], tuple[Any, ...]]]]

CNN = (
    "airnet50_1x64d_r2 airnext50_32x4d_r2 alexnet bagnet9 bamresnet18 bninception bn_vgg11b"
    " cbamresnet18 channelnet condensenet74_c4_g4 darknet_tiny darknet53 dla34 diaresnet18 dicenet_wd5"
    " diracnet18v2 drnd22 espnetv2_wd2 fbnet_cb fdmobilenet_wd4 fishnet99 ghostnet hardnet39ds"
    " hrnet_w18_small_v1 ibn_resnet50 igcv3_wd4 inceptionv3 isqrtcovresnet18 mixnet_s mnasnet_small"
    " mobilenet_wd4 mobilenetb_wd4 mobilenetv2_wd4 mobilenetv3_small_w7d20 menet108_8x1_g3 msdnet22"
    " nasnet_4a1056 octresnet10_ad2 peleenet pnasnet5large preresnet10 proxylessnas_cpu regnetx002"
    " resattnet56 resnest14 resneta10 resnetd50b revnet38 scnet50 seresnet10 selecsls42"
    " shufflenet_g8_wd4 shufflenetv2_wd2 shufflenetv2b_wd2 sparsenet121 spnasnet squeezenet_v1_0"
    " squeezenext23_w1d4 squeezeresnet_v1_1 superpointnet tresnet_m vovnet27s xdensenet121_2 zfnet"
    " nin_cifar10 densenet40_k12_cifar10 ror3_56_cifar10 wrn16_10_cifar10 rir_cifar10"
    " xdensenet40_2_k24_bc_cifar10 resnet20_cifar10 fractalnet_cifar10 lednet_cityscapes enet_cityscapes"
    " erfnet_cityscapes cgnet_cityscapes dabnet_cityscapes fpenet_cityscapes edanet_cityscapes"
    " contextnet_cityscapes esnet_cityscapes fastscnn_cityscapes sinet_cityscapes sqnet_cityscapes"
    " linknet_cityscapes unet_cityscapes segnet_cityscapes bisenet_resnet18_celebamaskhq"
    " lwopenpose2d_mobilenet_cmupan_coco simplepose_mobile_mobilenetv3_small_w1_coco"
    " centernet_resnet18_coco jasper5x3 quartznet5x5_en_ls visemenet20 voca8flame"
)
"""Names of pytorchcv, one or two for each of its families."""

SIZES = {"cityscapes": 128, "cifar10": 32, "coco": 128}


def picture(channels: int = 3, size: int = 64) -> Tensor:
    return torch.rand(1, channels, size, size)


def tokens(length: int = 16, size: int = 64) -> Tensor:
    return torch.arange(3, 3 + length).remainder(size)[None]


def vectors(length: int = 16, width: int = 32) -> Tensor:
    return torch.randn(1, length, width)


def pytorchcv() -> Made:
    """Classifiers, segmenters and pose networks, of pictures as small as each takes."""
    from pytorchcv.model_provider import get_model

    def size(name: str) -> int:
        return next((pixels for suffix, pixels in SIZES.items() if name.endswith(suffix)), 224)

    made: Made = {}
    for name in CNN.split():
        sized = {"in_size": (size(name), size(name))} if size(name) != 32 else {}

        def network(name: str = name, sized: dict[str, Any] = sized) -> nn.Module:
            try:
                return get_model(name, **sized)
            except TypeError:  # a network without such an argument
                return get_model(name)

        if name in ("jasper5x3", "quartznet5x5_en_ls"):
            features = 64 if name.startswith("q") else 120
            made[name] = (
                network,
                lambda features=features: (torch.randn(1, features, 64), torch.tensor([64])),
            )
        else:
            made[name] = (network, lambda name=name: (picture(3, size(name)),))
    return made


def segmentation() -> Made:
    """Decoders of segmentation_models_pytorch on small encoders."""
    import segmentation_models_pytorch as smp

    encoders = {
        "Unet": "mobilenet_v2",
        "UnetPlusPlus": "resnet18",
        "MAnet": "resnet18",
        "Linknet": "timm-mobilenetv3_small_075",
        "FPN": "efficientnet-b0",
        "PSPNet": "resnet18",
        "DeepLabV3": "resnet18",
        "DeepLabV3Plus": "mobilenet_v2",
        "PAN": "resnet18",
        "UPerNet": "mit_b0",
        "Segformer": "mit_b0",
    }
    return {
        name: (
            lambda name=name, encoder=encoder: getattr(smp, name)(encoder, encoder_weights=None, classes=2),
            lambda: (picture(3, 96),),
        )
        for name, encoder in encoders.items()
    }


def facenet() -> Made:
    """The three networks of MTCNN, and the one that embeds faces."""
    import facenet_pytorch as faces
    from facenet_pytorch.models import mtcnn

    def small(title: str) -> Callable[[], nn.Module]:
        return lambda: getattr(mtcnn, title)(pretrained=False)

    return {
        "pnet": (small("PNet"), lambda: (picture(3, 48),)),
        "rnet": (small("RNet"), lambda: (picture(3, 24),)),
        "onet": (small("ONet"), lambda: (picture(3, 48),)),
        "inception": (lambda: faces.InceptionResnetV1(), lambda: (picture(3, 160),)),
    }


def x_transformers() -> Made:
    """Encoders and decoders, each with another of the options that change its graph."""
    import x_transformers as xt

    def words(kind: str, wrapped: dict[str, Any] | None = None, **options: Any) -> Callable[[], nn.Module]:
        return lambda: xt.TransformerWrapper(
            num_tokens=64,
            max_seq_len=32,
            attn_layers=getattr(xt, kind)(dim=32, depth=2, heads=4, attn_dim_head=8, **options),
            **(wrapped or {}),
        )

    forms: dict[str, dict[str, Any]] = {
        "plain": {},
        "rotary": {"rotary_pos_emb": True},
        "alibi": {"alibi_pos_bias": True},
        "relative": {"rel_pos_bias": True},
        "dynamic_bias": {"dynamic_pos_bias": True},
        "rmsnorm": {"use_rmsnorm": True, "ff_glu": True},
        "scalenorm": {"use_scalenorm": True},
        "swish_glu": {"ff_swish": True, "ff_glu": True},
        "relu_squared": {"ff_relu_squared": True},
        "kv_heads": {"attn_kv_heads": 2},
        "talking": {"attn_pre_talking_heads": True, "attn_post_talking_heads": True},
        "sparse": {"attn_sparse_topk": 4},
        "qk_norm": {"attn_qk_norm": True},
        "memory": {"attn_num_mem_kv": 4},
        "on_attention": {"attn_on_attn": True},
        "macaron": {"macaron": True},
        "sandwich": {"sandwich_norm": True},
        "residual_gate": {"gate_residual": True},
        "shift": {"shift_tokens": 1},
        "gated_values": {"attn_gate_values": True},
    }
    made: Made = {
        f"{kind.lower()}_{name}": (words(kind, **options), lambda: (tokens(),))
        for number, (name, options) in enumerate(forms.items())
        for kind in (("Encoder", "Decoder")[number % 2],)
    }
    made["vit"] = (
        lambda: xt.ViTransformerWrapper(
            image_size=32, patch_size=8, num_classes=4, attn_layers=xt.Encoder(dim=32, depth=2, heads=4)
        ),
        lambda: (picture(3, 32),),
    )
    made["continuous"] = (
        lambda: xt.ContinuousTransformerWrapper(
            dim_in=8, dim_out=4, max_seq_len=32, attn_layers=xt.Encoder(dim=32, depth=2, heads=4)
        ),
        lambda: (vectors(16, 8),),
    )
    return made


def long_attention() -> Made:
    """Attention in linear time."""
    from linformer import Linformer
    from performer_pytorch import Performer, SelfAttention

    return {
        "linformer": (lambda: Linformer(dim=32, seq_len=32, depth=2, heads=4, k=8), lambda: (vectors(32),)),
        "linformer_shared": (
            lambda: Linformer(dim=32, seq_len=32, depth=1, heads=4, k=8, one_kv_head=True, share_kv=True),
            lambda: (vectors(32),),
        ),
        "performer": (
            lambda: Performer(dim=32, depth=1, heads=4, dim_head=8, nb_features=16),
            lambda: (vectors(32),),
        ),
        "performer_attention": (
            lambda: SelfAttention(dim=32, heads=4, dim_head=8, nb_features=16, generalized_attention=True),
            lambda: (vectors(32),),
        ),
    }


def diffusion() -> Made:
    """Small forms of diffusers' networks, of pictures, sounds and videos."""
    import diffusers as d

    step = torch.tensor([3])
    blocks2 = {"block_out_channels": (16, 32), "norm_num_groups": 8, "layers_per_block": 1}
    return {
        "unet2d": (
            lambda: d.UNet2DModel(
                sample_size=32,
                down_block_types=("DownBlock2D", "AttnDownBlock2D"),
                up_block_types=("AttnUpBlock2D", "UpBlock2D"),
                attention_head_dim=8,
                **blocks2,
            ),
            lambda: (picture(3, 32), step),
        ),
        "unet2d_condition": (
            lambda: d.UNet2DConditionModel(
                sample_size=16,
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                cross_attention_dim=32,
                attention_head_dim=8,
                **blocks2,
            ),
            lambda: (picture(4, 16), step, vectors(7)),
        ),
        "unet1d": (
            lambda: d.UNet1DModel(
                sample_size=64,
                block_out_channels=(16, 32),
                down_block_types=("DownBlock1D", "AttnDownBlock1D"),
                up_block_types=("AttnUpBlock1D", "UpBlock1D"),
                mid_block_type="UNetMidBlock1D",
                in_channels=2,
                extra_in_channels=0,
            ),
            lambda: (torch.randn(1, 2, 64), step),
        ),
        "vae": (
            lambda: d.AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2,
                **blocks2,
            ),
            lambda: (picture(3, 32),),
        ),
        "tiny_vae": (
            lambda: d.AutoencoderTiny(
                encoder_block_out_channels=(16, 16, 16, 16), decoder_block_out_channels=(16, 16, 16, 16)
            ),
            lambda: (picture(3, 64),),
        ),
        "vq": (
            lambda: d.VQModel(
                down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2,
                num_vq_embeddings=16,
                **blocks2,
            ),
            lambda: (picture(3, 32),),
        ),
        "dit": (
            lambda: d.DiTTransformer2DModel(
                num_attention_heads=2,
                attention_head_dim=16,
                in_channels=4,
                num_layers=2,
                sample_size=8,
                num_embeds_ada_norm=8,
                norm_num_groups=8,
            ),
            lambda: (picture(4, 8), step, torch.tensor([2])),
        ),
        "pixart": (
            lambda: d.PixArtTransformer2DModel(
                num_attention_heads=2,
                attention_head_dim=16,
                in_channels=4,
                num_layers=2,
                cross_attention_dim=32,
                sample_size=8,
                caption_channels=16,
                norm_num_groups=8,
                use_additional_conditions=False,
            ),
            lambda: (picture(4, 8), vectors(7, 16), step),
        ),
        "sd3": (
            lambda: d.SD3Transformer2DModel(
                sample_size=8,
                patch_size=2,
                in_channels=4,
                num_layers=2,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=24,
                caption_projection_dim=32,
                pooled_projection_dim=20,
                out_channels=4,
                pos_embed_max_size=8,
            ),
            lambda: (picture(4, 8), vectors(7, 24), torch.randn(1, 20), step),
        ),
        "flux": (
            lambda: d.FluxTransformer2DModel(
                in_channels=4,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=24,
                pooled_projection_dim=20,
                axes_dims_rope=(4, 4, 8),
            ),
            lambda: (
                vectors(16, 4),
                vectors(7, 24),
                torch.randn(1, 20),
                torch.tensor([0.5]),
                torch.rand(16, 3).round(),
                torch.zeros(7, 3),
            ),
        ),
        "sana": (
            lambda: d.SanaTransformer2DModel(
                in_channels=4,
                out_channels=4,
                num_layers=1,
                num_attention_heads=2,
                attention_head_dim=16,
                num_cross_attention_heads=2,
                cross_attention_head_dim=16,
                cross_attention_dim=32,
                caption_channels=16,
                sample_size=8,
            ),
            lambda: (picture(4, 8), vectors(7, 16), step),
        ),
        "uvit": (
            lambda: d.UVit2DModel(
                hidden_size=32,
                cond_embed_dim=16,
                encoder_hidden_size=16,
                vocab_size=20,
                codebook_size=16,
                block_out_channels=32,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=64,
                micro_cond_encode_dim=8,
                micro_cond_embed_dim=40,
                sample_size=8,
            ),
            lambda: (
                torch.arange(64).reshape(1, 8, 8) % 16,
                vectors(7, 16),
                torch.randn(1, 16),
                torch.rand(1, 5),
            ),
        ),
        "prior": (
            lambda: d.PriorTransformer(
                num_attention_heads=2,
                attention_head_dim=8,
                embedding_dim=16,
                num_layers=1,
                num_embeddings=7,
                additional_embeddings=4,
            ),
            lambda: (torch.randn(1, 16), step, torch.randn(1, 16), vectors(7, 16)),
        ),
        "temporal": (
            lambda: d.TransformerTemporalModel(
                num_attention_heads=2, attention_head_dim=8, in_channels=16, norm_num_groups=8
            ),
            lambda: (torch.randn(4, 16, 8, 8),),
        ),
        "unet3d": (
            lambda: d.UNet3DConditionModel(
                sample_size=8,
                down_block_types=("DownBlock3D", "CrossAttnDownBlock3D"),
                up_block_types=("CrossAttnUpBlock3D", "UpBlock3D"),
                cross_attention_dim=32,
                attention_head_dim=8,
                **blocks2,
            ),
            lambda: (torch.randn(1, 4, 4, 8, 8), step, vectors(7)),
        ),
    }
