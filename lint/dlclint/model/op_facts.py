"""Facts about ONNX operators, by name: the one place for sets and maps of ops.

Everything here is about ops of the default domain and follows from the ONNX operator documents, unless its
docstring names another source. What a table of Qualcomm states about an op is data in `dlclint_schemas`. The
module imports neither onnx nor numpy, so that every layer may use it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

OFFICIAL_DOMAINS = ("", "ai.onnx")
"""Two spellings of the default domain."""
MICROSOFT = "com.microsoft"
"""The domain in which ONNX Runtime's tools write QuantizeLinear with 16- and 4-bit types."""


class Role(enum.Enum):
    """The role of an input of an op. Stored inputs with other roles than DATA are side inputs."""

    DATA = "data"
    WEIGHT = "weight"
    """Multiplied with the data; an input of MatMul has this role where it is stored."""
    RECURRENT_WEIGHT = "recurrent weight"
    PEEPHOLE = "peephole weight"
    BIAS = "bias"
    GAMMA = "gamma"
    """The factor of a normalization, by channel."""
    BETA = "beta"
    """The summand of a normalization, by channel."""
    MEAN = "mean"
    VARIANCE = "variance"
    SLOPE = "slope"
    BOUND = "clip bound"
    STATE = "initial state"
    """Of shape [directions, batch, hidden]."""
    UPDATES = "updates"
    SCALE = "scale"
    ZERO_POINT = "zero point"
    PAD_VALUE = "padding value"
    CONDITION = "condition"
    INDICES = "indices"
    SHAPE = "shape"
    """One element for each axis of the output: its size."""
    REPEATS = "repeats"
    """One element for each axis: how often the data are repeated."""
    SIZES = "sizes"
    SCALES = "scales"
    REGION = "region"
    PADS = "pads"
    AXES = "axes"
    AXIS = "axis"
    """The axis along which values are combined; the shape does not depend on it."""
    START = "start"
    END = "end"
    STEP = "step"
    PARTS = "lengths of parts"
    COUNT = "count"
    LIMIT = "limit"
    THRESHOLD = "threshold"
    LENGTHS = "lengths of sequences"
    DIAGONAL = "diagonal"
    RATIO = "ratio"
    TRAINING = "training mode"
    CHOICES = "values to choose from"


_D, _W, _R, _B = Role.DATA, Role.WEIGHT, Role.RECURRENT_WEIGHT, Role.BIAS
_S, _Z = Role.SCALE, Role.ZERO_POINT
_RECURRENT_ROLES = (_D, _W, _R, _B, Role.LENGTHS, Role.STATE)

SQUARE_SUMS = ("ReduceL2", "ReduceSumSquare")
"""Reductions that square what they sum."""
LOGARITHMS = ("Log", "ReduceLogSum")
REDUCTIONS = frozenset(
    {
        *("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2"),
        *("ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"),
    }
)

INPUT_ROLES: Mapping[str, tuple[Role, ...]] = MappingProxyType(
    {
        "Conv": (_D, _W, _B),
        "ConvTranspose": (_D, _W, _B),
        "Gemm": (_D, _W, _B),
        "MatMul": (_W, _W),
        "LSTM": (*_RECURRENT_ROLES, Role.STATE, Role.PEEPHOLE),
        "GRU": _RECURRENT_ROLES,
        "RNN": _RECURRENT_ROLES,
        "QLinearConv": (_D, _S, _Z, _W, _S, _Z, _S, _Z, _B),
        "QLinearMatMul": (_D, _S, _Z, _W, _S, _Z, _S, _Z),
        "ConvInteger": (_D, _W, _Z, _Z),
        "DeformConv": (_D, _W, _D, _B, _D),
        "MatMulInteger": (_D, _W, _Z, _Z),
        "QuantizeLinear": (_D, _S, _Z),
        "DequantizeLinear": (_D, _S, _Z),
        "BatchNormalization": (_D, Role.GAMMA, Role.BETA, Role.MEAN, Role.VARIANCE),
        "InstanceNormalization": (_D, Role.GAMMA, Role.BETA),
        "LayerNormalization": (_D, Role.GAMMA, Role.BETA),
        "GroupNormalization": (_D, Role.GAMMA, Role.BETA),
        "RMSNormalization": (_D, Role.GAMMA),
        "PRelu": (_D, Role.SLOPE),
        "Clip": (_D, Role.BOUND, Role.BOUND),
        "Dropout": (_D, Role.RATIO, Role.TRAINING),
        "Where": (Role.CONDITION, _D, _D),
        "Reshape": (_D, Role.SHAPE),
        "Expand": (_D, Role.SHAPE),
        "ConstantOfShape": (Role.SHAPE,),
        "Tile": (_D, Role.REPEATS),
        "Range": (Role.START, Role.END, Role.STEP),
        "Slice": (_D, Role.START, Role.END, Role.AXES, Role.STEP),
        "Pad": (_D, Role.PADS, Role.PAD_VALUE, Role.AXES),
        "Resize": (_D, Role.REGION, Role.SCALES, Role.SIZES),
        "Upsample": (_D, Role.SCALES),
        "CenterCropPad": (_D, Role.SIZES),
        "Squeeze": (_D, Role.AXES),
        "Unsqueeze": (_D, Role.AXES),
        "Split": (_D, Role.PARTS),
        "TopK": (_D, Role.COUNT),
        "OneHot": (_D, Role.COUNT, Role.CHOICES),
        "Gather": (_D, Role.INDICES),
        "GatherElements": (_D, Role.INDICES),
        "GatherND": (_D, Role.INDICES),
        "ScatterElements": (_D, Role.INDICES, Role.UPDATES),
        "ScatterND": (_D, Role.INDICES, Role.UPDATES),
        "CumSum": (_D, Role.AXIS),
        "Trilu": (_D, Role.DIAGONAL),
        "ReverseSequence": (_D, Role.LENGTHS),
        "RoiAlign": (_D, _D, Role.INDICES),
        "NonMaxSuppression": (_D, _D, Role.LIMIT, Role.THRESHOLD, Role.THRESHOLD),
        **dict.fromkeys(sorted(REDUCTIONS), (_D, Role.AXES)),
    }
)
"""The role of each input by position; every input of an op that is not listed is DATA."""


def role(op_type: str, position: int) -> Role:
    """The role of the input at a position; DATA where nothing else is known."""
    roles = INPUT_ROLES.get(op_type, ())
    return roles[position] if position < len(roles) else Role.DATA


def positions(op_type: str, *wanted: Role) -> tuple[int, ...]:
    """The inputs of an op with one of some roles, in order."""
    return tuple(i for i, each in enumerate(INPUT_ROLES.get(op_type, ())) if each in wanted)


def _by_op(*wanted: Role) -> Mapping[str, tuple[int, ...]]:
    """Op to the positions with one of some roles, for the ops that have one."""
    return MappingProxyType({op: at for op in INPUT_ROLES if (at := positions(op, *wanted))})


STORED_ROLES = frozenset(
    {Role.WEIGHT, Role.RECURRENT_WEIGHT, Role.PEEPHOLE, Role.BIAS, Role.GAMMA, Role.BETA, Role.MEAN}
    | {Role.VARIANCE, Role.SLOPE, Role.BOUND}
)
"""Roles of trained or chosen numbers that the op computes with."""
SIZING_ROLES = frozenset(
    {Role.SHAPE, Role.REPEATS, Role.SIZES, Role.SCALES, Role.PADS, Role.AXES, Role.START, Role.END, Role.STEP}
    | {Role.PARTS, Role.COUNT, Role.REGION, Role.AXIS}
)
"""Roles of numbers that select axes, counts and sizes, which the converter wants stored."""
PARAMETER_ROLES = SIZING_ROLES | {
    *(Role.PAD_VALUE, Role.CONDITION, Role.INDICES, Role.LIMIT, Role.THRESHOLD, Role.LENGTHS),
    *(Role.DIAGONAL, Role.RATIO, Role.TRAINING, Role.CHOICES),
}
"""Roles of inputs that configure the op and are not operands."""
VALUE_INPUTS = _by_op(
    *(Role.SHAPE, Role.REPEATS, Role.SIZES, Role.SCALES, Role.REGION, Role.PADS, Role.AXES),
    *(Role.START, Role.END, Role.STEP, Role.PARTS, Role.COUNT),
)
"""Op to the inputs whose values determine the shape of the output."""
SHAPE_INPUT = MappingProxyType({op: at[0] for op, at in _by_op(Role.SHAPE).items()})
"""Op to the input that holds the shape of the output."""
SIZE_INPUT = MappingProxyType({op: at[0] for op, at in _by_op(Role.SHAPE, Role.REPEATS).items()})
"""Op to the input that holds a size, or repeats, for each axis of the output."""
STATE_INPUTS = _by_op(Role.STATE)
"""Recurrent op to the inputs that are states: [directions, batch, hidden]."""
INT32_INDICES = MappingProxyType({"Gather": 1, "GatherElements": 1, "ScatterElements": 1})
"""Op to its indices, where these may be int32 as well as int64."""

CONVOLUTIONS = ("Conv", "ConvTranspose")
"""Ops whose weights are documented to take per-channel encodings."""
MATRICES = ("Gemm", "MatMul")
"""Ops whose weights `--use_per_row_quantization` concerns: MatMul and FullyConnected."""
WEIGHTED_OPS = (*CONVOLUTIONS, *MATRICES)
"""Ops that become the layers with weights (80-63442-2 Rev BL, partial overrides)."""
GATES: Mapping[str, int] = MappingProxyType({"LSTM": 4, "GRU": 3, "RNN": 1})
"""Recurrent op to the number of its gates, each of which has separate rows in W, R and B."""
RECURRENT = tuple(GATES)
"""Ops with two weights, W [directions, gates * hidden, input] and R [directions, gates * hidden, hidden],
and a bias B [directions, 2 * gates * hidden]. No grid for each channel or row is documented for them."""

QDQ = frozenset({"QuantizeLinear", "DequantizeLinear"})
"""Ops that represent an encoding; the converter removes them and keeps the encoding (80-63442-2 Rev BL,
Tools, snpe-onnx-to-dlc `--keep_quant_nodes`).
"""
QUANTIZERS = QDQ | {"DynamicQuantizeLinear"}
"""Ops that convert between float and quantized."""
QOPERATORS = frozenset({"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"})
"""Ops that compute on quantized tensors."""
INTEGER_BIAS = (
    *("Conv", "ConvTranspose", "Gemm", "LayerNormalization", "InstanceNormalization", "BatchNormalization"),
)
"""Ops whose input 2 is an int32 bias to ONNX Runtime's QNN provider (measured; for BatchNormalization it
takes 8 bits too, but not 16).
"""


def is_qdq(op_type: str, domain: str) -> bool:
    """Whether an op is QuantizeLinear or DequantizeLinear, of ONNX or of com.microsoft."""
    return op_type in QDQ and domain in (*OFFICIAL_DOMAINS, MICROSOFT)


UNCHANGED = ("Identity", "Dropout")
"""Ops that return their input at inference; the converter's simplification removes them."""
UNIT_AXES = ("Squeeze", "Unsqueeze")
"""Ops that remove or insert axes of one element."""
JOIN_AXES = ("Reshape", "Flatten")
"""Ops that may join axes, or split them."""
RESHAPES = (*JOIN_AXES, *UNIT_AXES)
"""Ops that keep every element in its order and change only the shape."""
PARTS = ("Slice", "Split", "Gather", "GatherElements", "GatherND")
"""Ops whose output holds only some of the input's elements."""
_MOVE_ONE = (
    *("Identity", "Transpose", *RESHAPES, *PARTS, "Tile"),
    *("Expand", "DepthToSpace", "SpaceToDepth", "ReverseSequence"),
)
MOVES: Mapping[str, tuple[int, ...] | None] = MappingProxyType(
    {
        **dict.fromkeys(_MOVE_ONE, (0,)),
        "ScatterND": (0, 2),
        "ScatterElements": (0, 2),
        "Where": (1, 2),
        "Concat": None,
    }
)
"""Ops that move elements and compute nothing, and the inputs whose elements the output holds (None: all).

A scatter that combines values (`reduction` other than none) computes. With one input the output keeps the
grid of that input; with several it keeps a grid only where they share one.
"""
MOVES_ONE = frozenset(_MOVE_ONE)
"""Those of `MOVES` whose output holds only elements of their first input."""
SELECTS = frozenset({"MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin", "TopK"})
"""Ops that compare and return some of the elements: values change position, none is new."""
KEEPS_GRID = MOVES_ONE | SELECTS | {"Dropout"}
"""Ops whose first output holds only values of the first input, and therefore is on its grid."""

RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
"""Ops that draw random numbers: two runs differ, and nothing folds."""
DATA_DECIDED: Mapping[str, str] = MappingProxyType(
    {
        "NonZero": "how many elements are not 0",
        "NonMaxSuppression": "how many boxes are kept",
        "Unique": "how many values differ",
        "Compress": "how many conditions are true",
    }
)
"""Ops whose output has a length that depends on the data, and what determines it."""
SHAPE_READERS = frozenset({"Shape", "Size"})
"""Ops that read only a tensor's shape."""
JOINING = frozenset({"Concat", "ConcatFromSequence", "SequenceConstruct", "SequenceInsert"})
"""Ops that put tensors side by side."""
LOOPS = ("Loop", "Scan")
"""Ops that run their body repeatedly, on the results of the previous iteration."""
WITH_BODIES = frozenset({"If", *LOOPS, "SequenceMap"})
"""Ops that hold subgraphs."""

ELEMENTWISE_UNARY = frozenset(
    {
        *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Cast", "Ceil", "Celu"),
        *("Clip", "Cos", "Cosh", "Dropout", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish"),
        *("Identity", "IsInf", "IsNaN", "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu"),
        *("Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt"),
        *("Swish", "Tan", "Tanh", "ThresholdedRelu"),
    }
)
"""Ops whose every output element depends only on the input's element at the same position."""
BROADCASTING = frozenset(
    {
        *("Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater"),
        *("GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow"),
        *("Sub", "Sum", "Where", "Xor"),
    }
)
"""Ops whose every output element depends only on the elements of several inputs at the same position."""
ELEMENTWISE = ELEMENTWISE_UNARY | BROADCASTING
MEETING = BROADCASTING | {"Concat", "MatMul"}
"""Ops that combine tensors, axis by axis from the last."""
ADDITIONS = ("Add", "Sum")
SUMS = (*ADDITIONS, "Sub")
"""Ops whose output is a sum of the operands, with signs."""
FACTORS = ("Mul", "Div")
"""Ops that scale one operand by the other."""
COMPARES = ("Max", "Min")
"""Ops that return one of the operands' elements at each position."""
COMBINING = (*SUMS, *FACTORS, *COMPARES)
"""Ops that compute with two or more tensors, element by element, in float arithmetic."""
BOUNDED = frozenset({"HardSigmoid", "Sigmoid", "Softsign", "Tanh"})
"""Activations between two bounds, as gates and outputs need."""
CLIPPING = ("Relu", "Clip")
"""Activations that return their input between two bounds."""
SIGN_CHANGES = frozenset({"Sub", "Mul", "Neg", "Div"})
"""Ops after which the sign of a number may differ from that of the operand."""

NORMALIZATIONS = ("BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization")
"""Ops that normalize their input to the deviation and mean given by gamma and beta."""
SHARES = ("Softmax", "LogSoftmax")
"""Ops that compute shares of 1 along an axis, or their logarithms."""
SOFTMAXES = (*SHARES, "Hardmax")
"""Ops whose axis meant a flattening before version 13."""
RESIZERS = ("Resize", "Upsample")
POOLS = ("AveragePool", "MaxPool", "LpPool")
GLOBAL_POOLS = ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
AVERAGES = ("AveragePool", "GlobalAveragePool", "ReduceMean")
"""Ops whose output holds means of elements of the input."""
ARG_REDUCTIONS = ("ArgMax", "ArgMin")
"""Reductions that return indices."""
FOURIER = ("STFT", "DFT")
CONTRACTIONS = ("MatMul", "Einsum")
"""Ops that multiply two activations and sum over an axis."""
FUSED_ACTIVATIONS = ("Relu", "PRelu", "HardSwish", "Clip", "LeakyRelu")
"""Activations that can run inside the convolution before them on HTP (source: Qualcomm's guide on
quantization for HTP, Choice of Activation functions)."""
ABSORBED = ("BatchNormalization", *FUSED_ACTIVATIONS)
"""Ops that can follow an op with weights in one supergroup: only the last output carries an encoding."""
ACTIVATIONS = frozenset(
    {"Celu", "Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "PRelu", "Selu"}
    | {"Sigmoid", "Softplus", "Softsign", "Swish", "Tanh", "ThresholdedRelu"}
)
"""Activations other than Relu."""
HOMOGENEOUS = frozenset({"Relu", "LeakyRelu", "PRelu", "Abs", *UNCHANGED, *POOLS, *GLOBAL_POOLS})
"""Ops with Op(k x) = k Op(x) for every positive k that is constant within a channel; no channels mix."""

LAYOUT_SENSITIVE = frozenset(
    {
        *("AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "DepthToSpace", "GlobalAveragePool"),
        *("GlobalMaxPool", "GridSample", "GroupNormalization", "InstanceNormalization", "LRN", "LpPool"),
        *("MaxPool", "MaxRoiPool", "QLinearConv", "Resize", "RoiAlign", "SpaceToDepth", "Upsample"),
    }
)
"""Ops whose second axis is channels and whose further axes are spatial."""
BY_SAMPLE = frozenset(
    {*CONVOLUTIONS, *POOLS, *GLOBAL_POOLS, *RESIZERS, "QLinearConv", "ConvInteger", "BatchNormalization"}
    | {"InstanceNormalization", "LRN", "GroupNormalization", "DepthToSpace", "SpaceToDepth", "GridSample"}
    | {"STFT", "Col2Im", "AffineGrid", "DeformConv"}
)
"""Ops whose data have the batch axis first, and that process each sample separately."""
SEVERAL_BY_SAMPLE = ("GridSample", "DeformConv")
"""Those whose further operands (a grid, offsets, a mask) have the batch axis first as well."""
KEEPS_AXES = ELEMENTWISE | QDQ | {"Concat", "Pad", "Slice", "Split"}
"""Ops that keep the order of their data's axes."""
