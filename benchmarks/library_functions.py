"""Functions of kornia and torchmetrics, with arguments, for `exports_libraries.py`. It needs torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LARGE = torch.tensor([[[60.0, 0.0, 16.0], [0.0, 60.0, 16.0], [0.0, 0.0, 1.0]]])
"""The matrix of a camera [1, 3, 3]: focal lengths and center in pixels."""


def picture(channels: int = 3, size: int = 32) -> Tensor:
    """Values from 0 to 1 [1, channels, size, size]."""
    return torch.rand(1, channels, size, size)


def volume(channels: int = 1, size: int = 16) -> Tensor:
    """Values from 0 to 1 [1, channels, size, size, size]."""
    return torch.rand(1, channels, size, size, size)


def points(number: int = 8, axes: int = 2) -> Tensor:
    """Normal numbers [1, number, axes]."""
    return torch.randn(1, number, axes)


def near_one(size: int = 3) -> Tensor:
    """A transform close to none [1, size, size]."""
    return torch.eye(size)[None] + 0.05 * torch.randn(1, size, size)


def labels(below: int, *shape: int) -> Tensor:
    """Integers from 0."""
    return torch.randint(0, below, shape)


Call = tuple[str, Callable[[], tuple[Any, ...]], dict[str, Any]]
"""The path of a function in its package, its positional arguments, its others."""

COLORS = [
    "bgr_to_grayscale",
    "bgr_to_rgba",
    "hls_to_rgb",
    "hsv_to_rgb",
    "lab_to_rgb",
    "linear_rgb_to_rgb",
    "luv_to_rgb",
    "rgb_to_grayscale",
    "rgb_to_bgr",
    "rgb_to_hls",
    "rgb_to_hsv",
    "rgb_to_lab",
    "rgb_to_linear_rgb",
    "rgb_to_luv",
    "rgb_to_rgb255",
    "rgb_to_xyz",
    "rgb_to_y",
    "rgb_to_ycbcr",
    "rgb_to_yuv",
    "rgb_to_yuv420",
    "rgb_to_yuv422",
    "sepia",
    "xyz_to_rgb",
    "ycbcr_to_rgb",
    "yuv_to_rgb",
    "normals_to_rgb255",
]

KORNIA: list[Call] = [
    *((f"color.{name}", lambda: (picture(),), {}) for name in COLORS),
    ("filters.bilateral_blur", lambda: (picture(), 3, 0.1, (1.5, 1.5)), {}),
    ("filters.joint_bilateral_blur", lambda: (picture(), picture(), 3, 0.1, (1.5, 1.5)), {}),
    ("filters.blur_pool2d", lambda: (picture(), 3), {}),
    ("filters.max_blur_pool2d", lambda: (picture(), 3), {}),
    ("filters.edge_aware_blur_pool2d", lambda: (picture(), 3), {}),
    ("filters.box_blur", lambda: (picture(), (3, 5)), {}),
    ("filters.canny", lambda: (picture(),), {}),
    ("filters.filter3d", lambda: (volume(), torch.rand(1, 3, 3, 3)), {}),
    ("filters.filter2d_separable", lambda: (picture(), torch.rand(1, 3), torch.rand(1, 5)), {}),
    ("filters.fft_conv", lambda: (picture(), torch.rand(1, 5, 5)), {}),
    ("filters.gaussian_blur2d", lambda: (picture(), (5, 5), (1.0, 1.0)), {}),
    ("filters.guided_blur", lambda: (picture(), picture(), 3, 0.1), {}),
    ("filters.in_range", lambda: (picture(), (0.2, 0.3, 0.4), (0.8, 0.9, 1.0)), {}),
    ("filters.laplacian", lambda: (picture(), 3), {}),
    ("filters.median_blur", lambda: (picture(), 3), {}),
    ("filters.motion_blur", lambda: (picture(), 5, 35.0, 0.5), {}),
    ("filters.sobel", lambda: (picture(),), {}),
    ("filters.spatial_gradient", lambda: (picture(),), {"order": 2}),
    ("filters.spatial_gradient3d", lambda: (volume(2),), {}),
    ("filters.unsharp_mask", lambda: (picture(), (3, 3), (1.5, 1.5)), {}),
    ("filters.otsu_threshold", lambda: (picture(1),), {}),
    ("geometry.transform.affine", lambda: (picture(), near_one()[:, :2]), {}),
    ("geometry.transform.build_pyramid", lambda: (picture(), 3), {}),
    ("geometry.transform.center_crop", lambda: (picture(), (16, 20)), {}),
    ("geometry.transform.center_crop3d", lambda: (volume(), (8, 10, 12)), {}),
    (
        "geometry.transform.elastic_transform2d",
        lambda: (picture(), torch.rand(1, 2, 32, 32)),
        {"kernel_size": (7, 7)},
    ),
    (
        "geometry.transform.get_rotation_matrix2d",
        lambda: (torch.rand(1, 2), torch.rand(1), torch.ones(1, 2)),
        {},
    ),
    ("geometry.transform.get_perspective_transform", lambda: (points(4), points(4)), {}),
    ("geometry.transform.get_tps_transform", lambda: (points(5), points(5)), {}),
    ("geometry.transform.hflip", lambda: (picture(),), {}),
    ("geometry.transform.rot180", lambda: (picture(),), {}),
    ("geometry.transform.homography_warp", lambda: (picture(), near_one(), (24, 24)), {}),
    ("geometry.transform.invert_affine_transform", lambda: (near_one()[:, :2],), {}),
    ("geometry.transform.pyrdown", lambda: (picture(),), {}),
    ("geometry.transform.pyrup", lambda: (picture(),), {}),
    (
        "geometry.transform.remap",
        lambda: (picture(), 31 * torch.rand(1, 32, 32), 31 * torch.rand(1, 32, 32)),
        {},
    ),
    ("geometry.transform.rotate", lambda: (picture(), torch.tensor([20.0])), {}),
    ("geometry.transform.shear", lambda: (picture(), torch.tensor([[0.1, 0.2]])), {}),
    ("geometry.transform.translate", lambda: (picture(), torch.tensor([[2.0, 3.0]])), {}),
    ("geometry.transform.warp_affine", lambda: (picture(), near_one()[:, :2], (24, 24)), {}),
    ("geometry.transform.warp_affine3d", lambda: (volume(), near_one(4)[:, :3], (12, 12, 12)), {}),
    ("geometry.transform.warp_perspective", lambda: (picture(), near_one(), (24, 24)), {}),
    ("geometry.transform.warp_points_tps", lambda: (points(6), points(5), points(5), points(3)), {}),
    ("geometry.axis_angle_to_quaternion", lambda: (points(8, 3),), {}),
    ("geometry.axis_angle_to_rotation_matrix", lambda: (torch.randn(8, 3),), {}),
    ("geometry.cart2pol", lambda: (torch.randn(1, 9), torch.randn(1, 9)), {}),
    ("geometry.pol2cart", lambda: (torch.rand(1, 9), torch.randn(1, 9)), {}),
    ("geometry.convert_points_from_homogeneous", lambda: (points(8, 3),), {}),
    ("geometry.convert_points_to_homogeneous", lambda: (points(),), {}),
    ("geometry.euler_from_quaternion", lambda: tuple(torch.rand(4, 8)), {}),
    ("geometry.quaternion_from_euler", lambda: tuple(torch.rand(3, 8)), {}),
    ("geometry.quaternion_exp_to_log", lambda: (torch.randn(8, 4),), {}),
    ("geometry.quaternion_log_to_exp", lambda: (torch.randn(8, 3),), {}),
    ("geometry.quaternion_to_axis_angle", lambda: (torch.randn(8, 4),), {}),
    ("geometry.quaternion_to_rotation_matrix", lambda: (torch.randn(8, 4),), {}),
    ("geometry.rotation_matrix_to_quaternion", lambda: (torch.randn(8, 3, 3),), {}),
    ("geometry.normalize_quaternion", lambda: (torch.randn(8, 4),), {}),
    ("geometry.vector_to_skew_symmetric_matrix", lambda: (torch.randn(8, 3),), {}),
    ("geometry.normalize_homography", lambda: (near_one(), (32, 32), (24, 24)), {}),
    ("geometry.normalize_pixel_coordinates", lambda: (points(), 32, 32), {}),
    ("geometry.project_points", lambda: (points(8, 3), LARGE), {}),
    ("geometry.unproject_points", lambda: (points(), torch.rand(1, 8, 1), LARGE), {}),
    ("geometry.distort_points", lambda: (points(), LARGE, torch.rand(1, 4)), {}),
    ("geometry.undistort_points", lambda: (points(), LARGE, torch.rand(1, 4)), {"num_iters": 2}),
    ("geometry.depth_to_3d_v2", lambda: (torch.rand(1, 32, 32), LARGE), {}),
    ("geometry.depth_to_normals", lambda: (picture(1), LARGE), {}),
    ("geometry.depth_from_disparity", lambda: (picture(1), 0.5, 60.0), {}),
    ("geometry.transform_points", lambda: (near_one(), points()), {}),
    ("geometry.relative_transformation", lambda: (near_one(4), near_one(4)), {}),
    ("geometry.inverse_transformation", lambda: (near_one(4),), {}),
    ("geometry.compute_correspond_epilines", lambda: (points(), near_one()), {}),
    ("geometry.sampson_epipolar_distance", lambda: (points(), points(), near_one()), {}),
    ("geometry.symmetric_transfer_error", lambda: (points(), points(), near_one()), {}),
    ("geometry.cross_product_matrix", lambda: (torch.randn(8, 3),), {}),
    ("geometry.normalize_points", lambda: (points(),), {}),
    ("geometry.spatial_softmax2d", lambda: (picture(2),), {}),
    ("geometry.spatial_soft_argmax2d", lambda: (picture(2),), {}),
    ("geometry.conv_soft_argmax2d", lambda: (picture(2),), {}),
    ("geometry.render_gaussian2d", lambda: (torch.rand(1, 2), torch.ones(1, 2), (16, 16), False), {}),
    ("geometry.nms2d", lambda: (picture(1), (3, 3)), {}),
    ("geometry.nms3d", lambda: (volume(), (3, 3, 3)), {}),
    ("geometry.solve_quadratic", lambda: (torch.randn(8, 3),), {}),
    ("geometry.solve_cubic", lambda: (torch.randn(8, 4),), {}),
    (
        "geometry.triangulate_points",
        lambda: (torch.rand(1, 3, 4), torch.rand(1, 3, 4), points(), points()),
        {},
    ),
    ("geometry.infer_bbox_shape", lambda: (torch.tensor([[[1.0, 1], [9, 1], [9, 7], [1, 7]]]),), {}),
    ("enhance.add_weighted", lambda: (picture(), 0.4, picture(), 0.6, 0.1), {}),
    ("enhance.adjust_brightness", lambda: (picture(), 0.2), {}),
    ("enhance.adjust_contrast", lambda: (picture(), 1.3), {}),
    ("enhance.adjust_contrast_with_mean_subtraction", lambda: (picture(), 1.3), {}),
    ("enhance.adjust_gamma", lambda: (picture(), 2.2), {}),
    ("enhance.adjust_hue", lambda: (picture(), 0.3), {}),
    ("enhance.adjust_log", lambda: (picture(),), {}),
    ("enhance.adjust_saturation", lambda: (picture(), 1.5), {}),
    ("enhance.adjust_sigmoid", lambda: (picture(),), {}),
    ("enhance.equalize_clahe", lambda: (picture(1), 20.0, (4, 4)), {}),
    ("enhance.histogram", lambda: (torch.rand(1, 64), torch.linspace(0, 1, 8), torch.tensor(0.1)), {}),
    (
        "enhance.histogram2d",
        lambda: (torch.rand(1, 64), torch.rand(1, 64), torch.linspace(0, 1, 8), torch.tensor(0.1)),
        {},
    ),
    ("enhance.image_histogram2d", lambda: (picture(1), 0.0, 1.0, 8), {}),
    ("enhance.integral_image", lambda: (picture(),), {}),
    ("enhance.jpeg_codec_differentiable", lambda: (picture(), torch.tensor([50.0])), {}),
    ("enhance.normalize_min_max", lambda: (picture(),), {}),
    ("enhance.posterize", lambda: (picture(), 3), {}),
    ("enhance.sharpness", lambda: (picture(), 0.5), {}),
    ("enhance.shift_rgb", lambda: (picture(), *torch.rand(3, 1)), {}),
    ("enhance.solarize", lambda: (picture(), 0.5, 0.1), {}),
    *(
        (f"morphology.{name}", lambda: (picture(), torch.ones(3, 3)), {})
        for name in ["bottom_hat", "closing", "dilation", "erosion", "gradient"]
    ),
    ("losses.binary_focal_loss_with_logits", lambda: (picture(2), picture(2)), {"alpha": 0.2}),
    ("losses.cauchy_loss", lambda: (picture(), picture()), {}),
    ("losses.charbonnier_loss", lambda: (picture(), picture()), {}),
    ("losses.dice_loss", lambda: (picture(4), labels(4, 1, 32, 32)), {}),
    ("losses.focal_loss", lambda: (picture(4), labels(4, 1, 32, 32), 0.5), {}),
    ("losses.geman_mcclure_loss", lambda: (picture(), picture()), {}),
    ("losses.inverse_depth_smoothness_loss", lambda: (picture(1), picture()), {}),
    ("losses.js_div_loss_2d", lambda: (picture(), picture()), {}),
    ("losses.lovasz_softmax_loss", lambda: (picture(4), labels(4, 1, 32, 32)), {}),
    ("losses.mutual_information_loss_2d", lambda: (picture(1, 16), picture(1, 16)), {"num_bins": 16}),
    ("losses.psnr_loss", lambda: (picture(), picture(), 1.0), {}),
    ("losses.ssim_loss", lambda: (picture(), picture(), 5), {}),
    ("losses.ssim3d_loss", lambda: (volume(), volume(), 3), {}),
    ("losses.total_variation", lambda: (picture(),), {}),
    ("losses.tversky_loss", lambda: (picture(4), labels(4, 1, 32, 32), 0.5, 0.5), {}),
    ("losses.welsch_loss", lambda: (picture(), picture()), {}),
    ("metrics.aepe", lambda: (torch.rand(1, 32, 32, 2), torch.rand(1, 32, 32, 2)), {}),
    ("contrib.extract_tensor_patches", lambda: (picture(), (8, 8)), {"stride": (4, 4)}),
    ("contrib.distance_transform", lambda: (picture(1),), {}),
    ("contrib.interp", lambda: (torch.rand(9), torch.linspace(0, 1, 5), torch.rand(5)), {}),
    ("feature.dog_response_single", lambda: (picture(1),), {}),
    ("feature.gftt_response", lambda: (picture(1),), {}),
    ("feature.harris_response", lambda: (picture(1),), {}),
    ("feature.hessian_response", lambda: (picture(1),), {}),
    ("feature.ellipse_to_laf", lambda: (torch.rand(1, 4, 5) + 1,), {}),
    ("feature.extract_patches_simple", lambda: (picture(1), 8 * torch.rand(1, 4, 2, 3)), {"PS": 8}),
    ("feature.laf_to_boundary_points", lambda: (torch.rand(1, 4, 2, 3),), {"n_pts": 8}),
    ("feature.match_mnn", lambda: (torch.rand(8, 16), torch.rand(9, 16)), {}),
    ("feature.match_snn", lambda: (torch.rand(8, 16), torch.rand(9, 16)), {"th": 0.9}),
]

PAIR = {"regression": (32, 3), "image": (1, 3, 48, 48), "audio": (2, 256), "pairwise": (9, 6)}
"""The shape of both arguments of a metric."""
METRICS = {
    "regression": "concordance_corrcoef cosine_similarity explained_variance kl_divergence log_cosh_error "
    "mean_absolute_percentage_error mean_squared_error mean_squared_log_error pearson_corrcoef r2_score "
    "relative_squared_error spearman_corrcoef symmetric_mean_absolute_percentage_error "
    "tweedie_deviance_score weighted_mean_absolute_percentage_error",
    "image": "error_relative_global_dimensionless_synthesis relative_average_spectral_error "
    "peak_signal_noise_ratio root_mean_squared_error_using_sliding_window spectral_angle_mapper "
    "spectral_distortion_index structural_similarity_index_measure universal_image_quality_index",
    "audio": "scale_invariant_signal_distortion_ratio scale_invariant_signal_noise_ratio signal_noise_ratio "
    "signal_distortion_ratio",
    "pairwise": "pairwise_cosine_similarity pairwise_euclidean_distance pairwise_linear_similarity "
    "pairwise_manhattan_distance",
}
CLASSIFIED = [
    "multiclass_accuracy",
    "multiclass_confusion_matrix",
    "multiclass_f1_score",
    "multiclass_hinge_loss",
    "multiclass_jaccard_index",
    "multiclass_matthews_corrcoef",
    "multiclass_stat_scores",
]
