"""Export fitted estimators of scikit-learn, in two halves, for `benchmarks.agreement`.

    python benchmarks/exports_sklearn.py FOLDER

Those whose ONNX form is arithmetic are fitted to made numbers and converted by skl2onnx, at an opset that
their name decides; what the converter refuses is reported and left out. Nothing is downloaded. It needs
scikit-learn 1.9 and skl2onnx 1.20, in a separate environment.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from skl2onnx import to_onnx
from sklearn import (
    cluster,
    cross_decomposition,
    decomposition,
    discriminant_analysis,
    gaussian_process,
    linear_model,
    mixture,
    naive_bayes,
    neighbors,
    neural_network,
    preprocessing,
    random_projection,
)
from sklearn.base import is_classifier
from sklearn.pipeline import make_pipeline

from halves import drawn, half, left_out

OPSETS = (13, 15, 17, 18)
ESTIMATORS: dict[str, Any] = {
    "ard": lambda: linear_model.ARDRegression(),
    "bayesian_gaussian_mixture": lambda: mixture.BayesianGaussianMixture(n_components=3),
    "bernoulli_nb": lambda: naive_bayes.BernoulliNB(),
    "complement_nb": lambda: make_pipeline(preprocessing.MinMaxScaler(), naive_bayes.ComplementNB()),
    "gaussian_mixture": lambda: mixture.GaussianMixture(n_components=3, covariance_type="tied"),
    "gaussian_nb": lambda: naive_bayes.GaussianNB(),
    "gaussian_process": lambda: gaussian_process.GaussianProcessRegressor(),
    "gaussian_process_classifier": lambda: gaussian_process.GaussianProcessClassifier(),
    "gaussian_projection": lambda: random_projection.GaussianRandomProjection(3),
    "incremental_pca": lambda: decomposition.IncrementalPCA(3),
    "kernel_centerer": lambda: preprocessing.KernelCenterer(),
    "kernel_pca": lambda: decomposition.KernelPCA(3, kernel="rbf"),
    "k_bins": lambda: preprocessing.KBinsDiscretizer(4, encode="onehot-dense"),
    "k_means": lambda: cluster.KMeans(3, n_init=2),
    "k_neighbors": lambda: neighbors.KNeighborsRegressor(4),
    "k_neighbors_classifier": lambda: neighbors.KNeighborsClassifier(4, metric="manhattan"),
    "k_neighbors_transformer": lambda: neighbors.KNeighborsTransformer(n_neighbors=3),
    "lda": lambda: discriminant_analysis.LinearDiscriminantAnalysis(),
    "mini_batch_k_means": lambda: cluster.MiniBatchKMeans(3, n_init=2),
    "mlp_classifier": lambda: neural_network.MLPClassifier((8, 8), activation="tanh", max_iter=20),
    "mlp_regressor": lambda: neural_network.MLPRegressor(
        hidden_layer_sizes=(8,), activation="logistic", max_iter=20
    ),
    "normalizer": lambda: preprocessing.Normalizer("l1"),
    "pls": lambda: cross_decomposition.PLSRegression(2),
    "polynomial": lambda: preprocessing.PolynomialFeatures(3),
    "power": lambda: preprocessing.PowerTransformer(),
    "qda": lambda: discriminant_analysis.QuadraticDiscriminantAnalysis(),
    "quantile_transformer": lambda: preprocessing.QuantileTransformer(n_quantiles=8),
    "radius_neighbors": lambda: neighbors.RadiusNeighborsRegressor(3.0),
    "robust_scaler": lambda: preprocessing.RobustScaler(),
    "svd": lambda: decomposition.TruncatedSVD(3),
}


def exported(name: str, path: Path) -> bool:
    """Whether an estimator was converted."""
    maker = np.random.default_rng(3)
    x = maker.normal(size=(60, 5)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] ** 2 > 0.5).astype(np.int64)
    if name == "kernel_centerer":
        x = x @ x.T
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = ESTIMATORS[name]().fit(x, y)
            options = {"zipmap": False} if is_classifier(fitted) else None
            rows = x[:4]
            model = to_onnx(
                fitted,
                rows,
                options={id(fitted): options} if options else None,
                target_opset={"": OPSETS[drawn(name, len(OPSETS), "opset")], "ai.onnx.ml": 1},
            )
    except Exception as error:  # whatever a converter raises: the next may work
        left_out(name, error)
        return False
    for value in model.graph.input:  # the converter leaves the number of rows open
        value.type.tensor_type.shape.dim[0].dim_value = len(rows)
    path.write_bytes(model.SerializeToString())
    return True


def main(arguments: list[str]) -> int:
    """Exit 1 if nothing was exported."""
    folder = Path(arguments[0])
    number = sum(exported(name, half(folder, name) / f"skl_{name}.onnx") for name in ESTIMATORS)
    print(f"{number} models in {folder}")
    return 0 if number else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
