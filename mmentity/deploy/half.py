"""Weights of an ONNX file in float16."""

import hashlib
from typing import Any

import numpy as np
from torch import nn

# what multiplies by weights, which are its second input
PRODUCTS = ('MatMul', 'Gemm', 'Conv')
# smaller tensors save nothing
FEWEST_VALUES = 1024
# rounded, the weights that place sampling points would move them
PLACING = 'sampling_offsets.weight'


def halve_weights(proto: Any, model: nn.Module) -> None:
    """Store the weights of products and convolutions in float16, in place.

    They become float32 again where the graph is loaded, so that every runtime can run it.

    Args:
        proto: ``onnx.ModelProto``.
        model: The detector that it was made of.

    Raises:
        ValueError: If a weight does not fit into float16.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = proto.graph
    names = {name for name, _ in model.named_parameters()}
    placing = {
        _digest(array)
        for name, value in model.named_parameters()
        if name.endswith(PLACING)
        for array in (value.detach().numpy(), value.detach().numpy().T)
    }
    weights = {n.input[1] for n in graph.node if n.op_type in PRODUCTS}
    casts = []
    for tensor in graph.initializer:
        is_weight = tensor.name in weights or tensor.name.partition('.')[2] in names
        if tensor.data_type != TensorProto.FLOAT or not is_weight:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < FEWEST_VALUES or _digest(values) in placing:
            continue
        with np.errstate(over='ignore'):
            halves = values.astype(np.float16)
        if not np.isfinite(halves).all():
            raise ValueError(
                f'the weight {tensor.name} has values up to {np.abs(values).max():.3g}, which '
                'float16 does not hold; export without --half'
            )
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(halves, f'{name}.half'))
        casts.append(helper.make_node('Cast', [f'{name}.half'], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _digest(values: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).digest()
