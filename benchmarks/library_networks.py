"""Blocks, networks and losses of MONAI, and small transformers of vit-pytorch, for `exports_libraries.py`.

It needs torch and monai.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from library_functions import picture, points, volume

Made = tuple[Callable[[], nn.Module], Callable[[], tuple[Tensor, ...]]]


def monai() -> dict[str, Made]:
    """MONAI's blocks, networks and losses, in two and three dimensions."""
    from monai import losses
    from monai.networks import blocks, nets

    volumes = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2}
    return {
        "adn": (lambda: blocks.ADN("NDA", 8, "PRELU", "INSTANCE", 3), lambda: (volume(8),)),
        "channel_se": (lambda: blocks.ChannelSELayer(3, 8), lambda: (volume(8),)),
        "residual_se": (lambda: blocks.ResidualSELayer(2, 8), lambda: (picture(8),)),
        "convolution_3d": (
            lambda: blocks.Convolution(3, 1, 4, strides=2, act="mish", norm="batch"),
            lambda: (volume(),),
        ),
        "transposed_3d": (
            lambda: blocks.Convolution(3, 2, 4, strides=2, is_transposed=True),
            lambda: (volume(2, 8),),
        ),
        "cross_attention": (
            lambda: blocks.CrossAttentionBlock(32, 4),
            lambda: (points(16, 32), points(9, 32)),
        ),
        "self_attention": (lambda: blocks.SABlock(32, 4, qkv_bias=True), lambda: (points(16, 32),)),
        "feed_forward": (lambda: blocks.MLPBlock(32, 64, act="GEGLU"), lambda: (points(16, 32),)),
        "max_avg_pool": (lambda: blocks.MaxAvgPool(3, 2), lambda: (volume(2),)),
        "patch_embedding_3d": (
            lambda: blocks.PatchEmbeddingBlock(1, 16, 4, 32, 4, proj_type="perceptron", spatial_dims=3),
            lambda: (volume(),),
        ),
        "aspp_3d": (lambda: blocks.SimpleASPP(3, 4, 4), lambda: (volume(4),)),
        "subpixel_2d": (lambda: blocks.SubpixelUpsample(2, 8, 4, 2), lambda: (picture(8, 16),)),
        "subpixel_3d": (lambda: blocks.SubpixelUpsample(3, 4, 2, 2), lambda: (volume(4, 8),)),
        "unet_res_3d": (
            lambda: blocks.UnetResBlock(3, 1, 4, 3, 2, norm_name="instance"),
            lambda: (volume(),),
        ),
        "warp_3d": (lambda: blocks.Warp(), lambda: (volume(), 0.1 * volume(3))),
        "warp_2d": (lambda: blocks.Warp(padding_mode="zeros"), lambda: (picture(), 0.1 * picture(2))),
        "upsample_3d": (
            lambda: blocks.UpSample(3, 2, 2, 2, mode="nontrainable", interp_mode="trilinear"),
            lambda: (volume(2, 8),),
        ),
        "mednext": (lambda: blocks.MedNeXtBlock(4, 4, kernel_size=3), lambda: (volume(4, 8),)),
        "attention_unet": (
            lambda: nets.AttentionUnet(2, 1, 2, (8, 16, 32), (2, 2)),
            lambda: (picture(1),),
        ),
        "basic_unet_3d": (
            lambda: nets.BasicUNet(**volumes, features=(4, 4, 8, 8, 8, 4)),
            lambda: (volume(1, 32),),
        ),
        "dynunet": (
            lambda: nets.DynUNet(2, 1, 2, [3, 3, 3], [1, 2, 2], [2, 2], filters=[8, 16, 16]),
            lambda: (picture(1),),
        ),
        "highresnet": (lambda: nets.HighResNet(2, 1, 2), lambda: (picture(1),)),
        "segresnet_3d": (
            lambda: nets.SegResNet(3, 8, 1, 2, blocks_down=(1, 1), blocks_up=(1,)),
            lambda: (volume(),),
        ),
        "unetr": (
            lambda: nets.UNETR(1, 2, 32, 8, 32, 64, 4, spatial_dims=2),
            lambda: (picture(1),),
        ),
        "swin_unetr": (
            lambda: nets.SwinUNETR(in_channels=1, out_channels=2, feature_size=12, spatial_dims=2),
            lambda: (picture(1, 64),),
        ),
        "vnet": (lambda: nets.VNet(2, 1, 2, dropout_prob_down=None), lambda: (picture(1, 64),)),
        "vqvae": (
            lambda: nets.VQVAE(
                2,
                1,
                1,
                (8, 8),
                1,
                (8, 8),
                ((2, 4, 1, 1),) * 2,
                ((2, 4, 1, 1, 0),) * 2,
                num_embeddings=16,
                embedding_dim=8,
            ),
            lambda: (picture(1),),
        ),
        "diffusion": (
            lambda: nets.DiffusionModelUNet(
                2, 1, 1, (1, 1), (8, 16), (False, True), num_head_channels=8, norm_num_groups=4
            ),
            lambda: (picture(1), torch.tensor([7])),
        ),
        "transformer": (lambda: blocks.TransformerBlock(32, 64, 4), lambda: (points(16, 32),)),
        "resnet_3d": (
            lambda: nets.ResNet("basic", [1, 1, 1, 1], [8, 8, 16, 16], 3, 1, num_classes=2),
            lambda: (volume(1, 32),),
        ),
        "voxelmorph": (
            lambda: nets.VoxelMorphUNet(2, 2, 8, (8, 8, 8, 8), (8, 8)),
            lambda: (picture(2),),
        ),
        "dice_ce": (lambda: losses.DiceCELoss(softmax=True), lambda: (picture(3), picture(3))),
        "focal": (lambda: losses.FocalLoss(gamma=1.5), lambda: (picture(3), picture(3))),
        "bending": (lambda: losses.BendingEnergyLoss(), lambda: (volume(3),)),
        "correlation": (
            lambda: losses.LocalNormalizedCrossCorrelationLoss(2),
            lambda: (picture(1), picture(1)),
        ),
        "mutual_information": (
            lambda: losses.GlobalMutualInformationLoss(num_bins=8),
            lambda: (picture(1, 16), picture(1, 16)),
        ),
        "barlow": (lambda: losses.BarlowTwinsLoss(), lambda: (torch.randn(8, 16), torch.randn(8, 16))),
        "cl_dice": (lambda: losses.SoftclDiceLoss(iter_=2), lambda: (picture(2), picture(2))),
    }


SIZES = {"image_size": 64, "num_classes": 10}
PLAIN = {**SIZES, "patch_size": 16, "dim": 32, "depth": 2, "heads": 2, "mlp_dim": 48}
THREE = {"num_classes": 10, "dim": (16, 32, 32, 32), "depth": (1, 1, 1, 1)}
VISION: dict[str, tuple[str, dict[str, Any]]] = {
    "cait": ("CaiT", {**PLAIN, "cls_depth": 1}),
    "cct": (
        "CCT",
        {
            "img_size": 64,
            "embedding_dim": 32,
            "n_conv_layers": 2,
            "num_layers": 2,
            "num_heads": 2,
            "mlp_ratio": 2,
            "num_classes": 10,
            "positional_embedding": "learnable",
        },
    ),
    "cross_vit": (
        "CrossViT",
        {
            **SIZES,
            "sm_dim": 16,
            "lg_dim": 32,
            "sm_patch_size": 8,
            "sm_enc_heads": 2,
            "sm_enc_mlp_dim": 32,
            "lg_enc_depth": 1,
            "lg_enc_heads": 2,
            "lg_enc_mlp_dim": 32,
            "cross_attn_heads": 2,
            "depth": 1,
        },
    ),
    "crossformer": (
        "CrossFormer",
        {**THREE, "dim": (32, 32, 64, 64), "global_window_size": (8, 4, 2, 1), "local_window_size": 2},
    ),
    "cvt": (
        "CvT",
        {
            "num_classes": 10,
            "s1_emb_dim": 16,
            "s2_emb_dim": 32,
            "s3_emb_dim": 32,
            "s2_heads": 2,
            "s3_heads": 2,
            "s2_depth": 1,
            "s3_depth": 1,
        },
    ),
    "deepvit": ("DeepViT", PLAIN),
    "levit": ("LeViT", {**SIZES, "dim": (32, 32), "depth": 1, "heads": (2, 2), "mlp_mult": 2, "stages": 2}),
    "max_vit": ("MaxViT", {"num_classes": 10, "dim": 16, "depth": (1, 1), "dim_head": 8, "window_size": 4}),
    "mobile_vit": (
        "MobileViT",
        {
            "image_size": (64, 64),
            "dims": [16, 24, 32],
            "channels": [8, 8, 16, 16, 16, 16, 24, 24, 24, 24, 32],
            "num_classes": 10,
        },
    ),
    "nest": (
        "NesT",
        {
            **SIZES,
            "patch_size": 4,
            "dim": 16,
            "heads": 2,
            "num_hierarchies": 3,
            "block_repeats": (1, 1, 1),
        },
    ),
    "parallel_vit": ("ViT", PLAIN),
    "pit": ("PiT", {**PLAIN, "depth": (1, 1)}),
    "regionvit": ("RegionViT", {**THREE, "window_size": 2}),
    "rvt": ("RvT", PLAIN),
    "scalable_vit": (
        "ScalableViT",
        {
            "num_classes": 10,
            "dim": 16,
            "heads": (1, 2),
            "depth": (1, 1),
            "reduction_factor": (4, 2),
            "window_size": (8, None),
        },
    ),
    "sep_vit": ("SepViT", {"num_classes": 10, "dim": 16, "heads": (1, 2), "depth": (1, 1), "window_size": 4}),
    "simple_uvit": ("SimpleUViT", PLAIN),
    "simple_vit_with_qk_norm": ("SimpleViT", PLAIN),
    "simple_vit_with_fft": ("SimpleViT", {**PLAIN, "freq_patch_size": 8}),
    "simple_vit_with_value_residual": ("SimpleViT", PLAIN),
    "twins_svt": (
        "TwinsSVT",
        {
            "num_classes": 10,
            "s1_emb_dim": 16,
            "s1_local_patch_size": 4,
            "s2_emb_dim": 16,
            "s2_local_patch_size": 4,
            "s3_emb_dim": 32,
            "s3_local_patch_size": 4,
            "s3_depth": 1,
            "s4_emb_dim": 32,
            "s4_local_patch_size": 2,
            "s4_depth": 1,
        },
    ),
    "vit_for_small_dataset": ("ViT", PLAIN),
    "vit_with_patch_merger": ("ViT", {**PLAIN, "patch_merge_num_tokens": 4}),
    "xcit": ("XCiT", {**PLAIN, "cls_depth": 1}),
    "jumbo_vit": ("JumboViT", PLAIN),
}
"""vit-pytorch's module, class and sizes."""
