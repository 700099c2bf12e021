"""Write the network of a detector as a graph of fixed size: for ONNX Runtime, or for PyTorch.

The graph is backbone, pixel decoder and both passes: normalised views in, logits out. Resizing,
padding and fusion stay outside; what they need travels as :class:`GraphInfo`.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import torch
from packaging.version import Version
from torch import Tensor, nn

from mmentity.deploy.describe import describe_graph
from mmentity.deploy.graph_info import KEY, GraphInfo
from mmentity.deploy.half import halve_weights
from mmentity.models.detectors import EntityMask2Former
from mmentity.utils.files import whole_file

# GridSample is of opset 16; ONNX Runtime's providers for CPU and CUDA have kernels of all that is
# used here at this one
OPSET = 18
SUFFIXES = ('.onnx', '.pt2')
LOWEST_TORCH = '2.7'
# an ONNX file holds at most this, beside it weights would need a second file
LARGEST_FILE = 2**31 - 1


class Network(nn.Module):
    """Backbone and head of a detector, as they are exported.

    Args:
        detector: The detector.
    """

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector: Any = detector

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network over one image.

        Args:
            views: float32 ``(1, V, 3, H, W)``, normalised and padded.

        Returns:
            Class logits ``(1, Q, classes + 1)`` and mask logits ``(1, Q, V, h, w)``.
        """
        features = self.detector.extract_feat(views)
        prediction = self.detector.panoptic_head.predict(features, [None])
        return prediction.cls_logits, prediction.mask_logits


class Exported(NamedTuple):
    """A file that was written.

    Attributes:
        path: The file.
        num_bytes: Its size.
        info: What it says about itself.
    """

    path: Path
    num_bytes: int
    info: GraphInfo


def export_network(
    model: nn.Module,
    path: Union[str, Path],
    height: Optional[int] = None,
    width: Optional[int] = None,
    half: bool = False,
    dynamic: bool = False,
) -> Exported:
    """Write the network of a detector as a file.

    Args:
        model: Detector of this package with its config as ``cfg``, as
            :func:`mmentity.apis.get_model` gives it, on the CPU.
        path: ``.onnx`` for ONNX Runtime, or ``.pt2`` for ``torch.export.load``.
        height: Height of the views, px, a multiple of 32; by default what holds any landscape
            image of the config's test pipeline.
        width: Width of the views, px, likewise.
        half: Whether weights are stored in float16, which halves the file. It computes in
            float32 all the same, and the weights that place sampling points stay in float32.
        dynamic: Refused: the size of a graph is fixed.

    Raises:
        ImportError: If a package that writes ONNX is missing.
        ValueError: If the model, the size or the path cannot be used, or PyTorch is too old.

    Examples:
        >>> model = get_model('cropformer_swin-t_3x', 'weights.pth', 'cpu')
        >>> export_network(model, 'model.onnx', 800, 1088).num_bytes
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f'{path} must end in {" or ".join(SUFFIXES)}')
    if half and path.suffix != '.onnx':
        raise ValueError(f'--half is for .onnx files, not for {path}')
    if dynamic:
        raise ValueError(WHY_FIXED)
    if not isinstance(model, EntityMask2Former):
        raise ValueError(
            f'{type(model).__name__} cannot be exported; only CropFormer and EntityMask2Former of '
            'mmentity can'
        )
    _check_versions(path.suffix)
    info = describe_graph(model, height, width, half)
    program = trace_network(model, info)
    with whole_file(path) as partial:
        if path.suffix == '.pt2':
            torch.export.save(program, partial, extra_files={KEY: info.to_json()})
        else:
            _write_onnx(program, model, partial, info)
        num_bytes = partial.stat().st_size
    return Exported(path, num_bytes, info)


# what `--dynamic` ends with
WHY_FIXED = (
    'a graph has one size: the windows of Swin, the global filter of HorNet and the sine encodings '
    'are tables made for it, so --dynamic cannot be had. Give --height and --width; images of '
    'other shapes are resized to fit in and padded at the right and bottom, and a second file can '
    'serve portrait images'
)


def trace_network(model: EntityMask2Former, info: GraphInfo) -> Any:
    """Trace the network with ``torch.export``, for one image of the size of the graph.

    Returns:
        A ``torch.export.ExportedProgram``.
    """
    views = torch.zeros((1, info.num_views, 3, *info.size))
    with torch.no_grad(), _quietly():
        return torch.export.export(Network(model).eval(), (views,), strict=False)


def _write_onnx(program: Any, model: nn.Module, path: Path, info: GraphInfo) -> None:
    with torch.no_grad(), _quietly():
        onnx_program: Any = torch.onnx.export(
            program,
            (),
            dynamo=True,
            opset_version=OPSET,
            input_names=['views'],
            output_names=['cls_logits', 'mask_logits'],
            verbose=False,
            # its search for patterns takes minutes and finds little
            optimize=False,
        )
        _fold(onnx_program.model)
    proto = onnx_program.model_proto
    if info.half:
        halve_weights(proto, model)
    entry = proto.metadata_props.add()
    entry.key, entry.value = KEY, info.to_json()
    if proto.ByteSize() > LARGEST_FILE:
        raise ValueError(
            f'the file would have {proto.ByteSize() / 1e9:.1f} GB, and ONNX holds 2.1; use --half'
        )
    path.write_bytes(proto.SerializeToString())


def _fold(graph: Any) -> None:
    """Compute what does not depend on the image, in place; ``onnx_ir.Model``."""
    from onnxscript import optimizer

    optimizer.fold_constants(graph)
    optimizer.remove_unused_nodes(graph)


def _check_versions(suffix: str) -> None:
    if Version(torch.__version__).release < Version(LOWEST_TORCH).release:
        raise ValueError(
            f'exporting needs PyTorch {LOWEST_TORCH} or later, this is {torch.__version__}; the '
            'file runs anywhere, so export it in another environment'
        )
    if suffix == '.onnx':
        try:
            import onnx  # noqa: F401
            import onnxscript  # noqa: F401
        except ImportError as error:
            raise ImportError(
                f'writing ONNX needs onnx and onnxscript ({error}); run: '
                'pip install "mmentity[onnx-export]"'
            ) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Leave out what PyTorch says of its own operators while it exports."""
    loggers = [logging.getLogger(name) for name in ('torch.onnx', 'onnxscript', 'onnx_ir')]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        for logger, level in zip(loggers, before):
            logger.setLevel(level)
