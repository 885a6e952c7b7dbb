"""What a graph of TensorFlow may do here: compute. Files, programs, networks, Python and whatever is not known are refused.

The list is one of what is allowed, so that an operation of a future TensorFlow is refused until somebody has looked at it. Graphs
are read as messages, before anything of them is executed; functions in their libraries count, called or not.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from jupyter_dodas.errors import ModelRefused

__all__ = ["ALLOWED", "check_graph", "check_saved_model"]

_OPERATIONS: Final = """
Abs AccumulateNV2 Acos Acosh Add AddN AddV2 All Angle Any ApproxTopK ApproximateEqual ArgMax ArgMin Asin Asinh Atan Atan2 Atanh
BesselI0 BesselI0e BesselI1 BesselI1e Betainc BiasAdd BiasAddV1 Bincount Bitcast BitwiseAnd BitwiseOr BitwiseXor BroadcastArgs
BroadcastGradientArgs BroadcastTo Bucketize Cast Ceil CheckNumerics CheckNumericsV2 ClipByValue Complex ComplexAbs Conj
ConjugateTranspose Cos Cosh Cross Cumprod Cumsum CumulativeLogsumexp Dawsn DenseBincount Digamma Div DivNoNan Einsum Equal Erf Erfc
Erfinv EuclideanNorm Exp Expint Expm1 Floor FloorDiv FloorMod FresnelCos FresnelSin Greater GreaterEqual HistogramFixedWidth Igamma
Igammac Imag Inv Invert InvertPermutation IsFinite IsInf IsNan IsotonicRegression KthOrderStatistic L2Loss LeftShift Less LessEqual
Lgamma LinSpace ListDiff Log Log1p LogicalAnd LogicalNot LogicalOr Max Maximum Mean Min Minimum Mod Mul MulNoNan Ndtri Neg NextAfter
NotEqual NthElement Polygamma PopulationCount Pow Prod Range Real RealDiv Reciprocal RightShift Rint Round Rsqrt Sign Sin Sinh Sqrt
Square SquaredDifference Sub Sum Tan Tanh TopK TopKV2 TruncateDiv TruncateMod Xdivy Xlog1py Xlogy Zeta

BandedTriangularSolve BatchMatMul BatchMatMulV2 BatchMatMulV3 Cholesky Diag DiagPart Eig FFT FFT2D FFT3D IFFT IFFT2D IFFT3D IRFFT
IRFFT2D IRFFT3D LogMatrixDeterminant Lu MatMul MatrixBandPart MatrixDeterminant MatrixDiag MatrixDiagPart MatrixDiagPartV2
MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3 MatrixExponential MatrixInverse MatrixLogarithm MatrixSetDiag MatrixSetDiagV2
MatrixSetDiagV3 MatrixSolve MatrixSolveLs MatrixSquareRoot MatrixTriangularSolve Qr RFFT RFFT2D RFFT3D SelfAdjointEig
SelfAdjointEigV2 Svd TridiagonalMatMul TridiagonalSolve

AvgPool AvgPool3D BatchNormWithGlobalNormalization Conv Conv2D Conv2DBackpropInput Conv2DBackpropInputV2 Conv3D Conv3DBackpropInput
Conv3DBackpropInputV2 DataFormatDimMap DataFormatVecPermute DepthwiseConv2dNative DepthwiseConv2dNativeBackpropInput Dilation2D Elu
ExtractGlimpse ExtractGlimpseV2 ExtractImagePatches ExtractVolumePatches FractionalAvgPool FractionalMaxPool FusedBatchNorm
FusedBatchNormV2 FusedBatchNormV3 FusedPadConv2D FusedResizeAndPadConv2D InTopK InTopKV2 LRN LeakyRelu LogSoftmax MaxPool MaxPool3D
MaxPoolV2 MaxPoolWithArgmax Relu Relu6 Selu Sigmoid Softmax SoftmaxCrossEntropyWithLogits Softplus Softsign
SparseSoftmaxCrossEntropyWithLogits BlockLSTM BlockLSTMV2 GRUBlockCell LSTMBlockCell CTCBeamSearchDecoder CTCGreedyDecoder
AvgPoolGrad BiasAddGrad EluGrad FusedBatchNormGradV3 LeakyReluGrad MaxPoolGrad Relu6Grad ReluGrad RsqrtGrad SeluGrad SigmoidGrad
SoftplusGrad SoftsignGrad SqrtGrad TanhGrad

AdjustContrastv2 AdjustHue AdjustSaturation CombinedNonMaxSuppression CropAndResize DrawBoundingBoxes DrawBoundingBoxesV2
GenerateBoundingBoxProposals HSVToRGB ImageProjectiveTransformV2 ImageProjectiveTransformV3 NonMaxSuppression NonMaxSuppressionV2
NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5 NonMaxSuppressionWithOverlaps RGBToHSV ResizeArea ResizeBicubic
ResizeBilinear ResizeNearestNeighbor SampleDistortedBoundingBox SampleDistortedBoundingBoxV2 ScaleAndTranslate AudioSpectrogram Mfcc

BatchToSpace BatchToSpaceND Concat ConcatOffset ConcatV2 Const DeepCopy DepthToSpace DynamicPartition DynamicStitch Empty
EnsureShape ExpandDims Fill Gather GatherNd GatherV2 GuaranteeConst Identity IdentityN InplaceAdd InplaceSub InplaceUpdate
LowerBound MirrorPad NoOp OneHot OnesLike Pack Pad PadV2 ParallelConcat ParallelDynamicStitch Placeholder PlaceholderV2
PlaceholderWithDefault PreventGradient Rank Reshape Reverse ReverseSequence ReverseV2 Roll ScatterNd ScatterNdNonAliasingAdd
SegmentMax SegmentMaxV2 SegmentMean SegmentMin SegmentMinV2 SegmentProd SegmentProdV2 SegmentSum SegmentSumV2 Select SelectV2 Shape
ShapeN Size Slice Snapshot SpaceToBatch SpaceToBatchND SpaceToDepth Split SplitV Squeeze StopGradient StridedSlice TensorScatterAdd
TensorScatterMax TensorScatterMin TensorScatterSub TensorScatterUpdate TensorStridedSliceUpdate Tile Transpose Unique UniqueV2
UniqueWithCounts UniqueWithCountsV2 Unpack UnravelIndex UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum
UpperBound Where ZerosLike

DenseToSparseSetOperation RaggedGather RaggedRange RaggedTensorFromVariant RaggedTensorToSparse RaggedTensorToTensor
RaggedTensorToVariant SparseAdd SparseBincount SparseConcat SparseCross SparseDenseCwiseAdd SparseDenseCwiseDiv SparseDenseCwiseMul
SparseFillEmptyRows SparseMatMul SparseReduceMax SparseReduceSum SparseReorder SparseReshape SparseSegmentMean
SparseSegmentMeanWithNumSegments SparseSegmentSqrtN SparseSegmentSqrtNWithNumSegments SparseSegmentSum
SparseSegmentSumWithNumSegments SparseSlice SparseSoftmax SparseSparseMaximum SparseSparseMinimum SparseSplit SparseTensorDenseAdd
SparseTensorDenseMatMul SparseToDense

Dequantize FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel QuantizeAndDequantize
QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4 QuantizeV2

Multinomial ParameterizedTruncatedNormal RandomGamma RandomPoisson RandomPoissonV2 RandomShuffle RandomStandardNormal RandomUniform
RandomUniformInt RngReadAndSkip RngSkip StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform StatefulUniformFullInt
StatefulUniformInt StatelessMultinomial StatelessRandomBinomial StatelessRandomGammaV2 StatelessRandomGammaV3 StatelessRandomGetAlg
StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg StatelessRandomNormal StatelessRandomNormalV2 StatelessRandomPoisson
StatelessRandomUniform StatelessRandomUniformFullInt StatelessRandomUniformFullIntV2 StatelessRandomUniformInt
StatelessRandomUniformIntV2 StatelessRandomUniformV2 StatelessShuffle StatelessTruncatedNormal StatelessTruncatedNormalV2
TruncatedNormal

Assert Case ControlTrigger Enter Exit For If LoopCond Merge NextIteration PartitionedCall StatefulPartitionedCall StatelessCase
StatelessIf StatelessWhile Switch While MapDefun

Assign AssignAddVariableOp AssignSubVariableOp AssignVariableOp DestroyResourceOp DisableCopyOnRead IsVariableInitialized
ReadVariableOp ResourceGather ResourceGatherNd ResourceScatterAdd ResourceScatterUpdate VarHandleOp VarIsInitializedOp Variable
VariableShape VariableV2 AnonymousHashTable AnonymousMutableHashTable HashTable HashTableV2 InitializeTable InitializeTableV2
LookupTableExportV2 LookupTableFind LookupTableFindV2 LookupTableImportV2 LookupTableInsertV2 LookupTableSize LookupTableSizeV2
MutableHashTable MutableHashTableV2

EmptyTensorList TensorArrayCloseV3 TensorArrayConcatV3 TensorArrayGatherV3 TensorArrayReadV3 TensorArrayScatterV3 TensorArraySizeV3
TensorArraySplitV3 TensorArrayV3 TensorArrayWriteV3 TensorListConcat TensorListConcatLists TensorListConcatV2 TensorListElementShape
TensorListFromTensor TensorListGather TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack
TensorListPushBackBatch TensorListReserve TensorListResize TensorListScatter TensorListScatterIntoExistingList TensorListScatterV2
TensorListSetItem TensorListSplit TensorListStack

AsString StringFormat
"""

ALLOWED: Final = frozenset(_OPERATIONS.split())
"""Operations of which a model may consist."""

_SAVING: Final = frozenset(["MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename", "StaticRegexFullMatch", "StringJoin"])
"""What a SavedModel has for saving and restoring its variables: allowed where nothing but that calls it."""


def check_graph(graph: Any) -> None:
    """Look through a GraphDef, with all functions of its library.

    Raises
    ------
    ModelRefused
        If it does anything but compute; the operation is named.
    """
    allowed = ALLOWED | _callable(function.signature.name for function in graph.library.function)
    _check("the graph", graph.node, allowed)
    for function in graph.library.function:
        _check(f"the function {function.signature.name!r}", function.node_def, allowed)


def check_saved_model(saved: Any) -> None:
    """Look through a SavedModel message: all graphs, and all functions of their libraries.

    Raises
    ------
    ModelRefused
        See `check_graph`.
    """
    for meta in saved.meta_graphs:
        nodes = {node.name: node for node in meta.graph_def.node}
        functions = {function.signature.name: function.node_def for function in meta.graph_def.library.function}
        allowed = ALLOWED | _callable(functions)
        savers = {meta.saver_def.save_tensor_name.partition(":")[0], meta.saver_def.restore_op_name} - {""}
        others = _called(functions, [nodes[name] for name in nodes.keys() - savers], meta.object_graph_def.concrete_functions)
        saving = _called(functions, [nodes[name] for name in nodes.keys() & savers], ()) - others
        for name, body in functions.items():
            _check(f"the function {name!r}", body, allowed | _SAVING if name in saving else allowed)
        # Those of TensorFlow 1 save and restore without functions.
        _check("the graph", nodes.values(), allowed if meta.object_graph_def.nodes else allowed | _SAVING)


def _callable(functions: Iterable[str]) -> set[str]:
    """Return which functions may be called as if they were operations; what those consist of is looked at anyway.

    Names like those of operations are not among them: TensorFlow could mean the operation.
    """
    return {name for name in functions if name.startswith("__")}


def _called(functions: Mapping[str, Iterable[Any]], nodes: Iterable[Any], named: Iterable[str]) -> set[str]:
    """Return the names of all functions that these nodes and functions lead to."""
    found: set[str] = set()
    left = [*named, *(name for node in nodes for name in _callees(node))]
    while left:
        if (name := left.pop()) in functions and name not in found:
            found.add(name)
            left += [callee for node in functions[name] for callee in _callees(node)]
    return found


def _callees(node: Any) -> Iterator[str]:
    yield node.op
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (each.name for each in value.list.func)


def _check(where: str, nodes: Iterable[Any], allowed: frozenset[str]) -> None:
    for node in nodes:
        if node.op not in allowed:
            raise ModelRefused(
                f"The model has the operation {node.op[:80]!r}, which is not allowed",
                cause=f"{node.name[:200]!r} in {where[:200]} is not known to compute outputs from inputs alone.",
                remedy="Leave it out of what is exported: models here compute, they do not touch files, programs or networks.",
            )
