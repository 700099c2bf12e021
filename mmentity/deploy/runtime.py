"""Run an exported network with ONNX Runtime."""

import os
import re
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from mmentity.deploy.graph_info import KEY, GraphInfo

SUFFIX = '.onnx'
# of ONNX Runtime, by the kind of device as PyTorch names it
PROVIDERS = {'cpu': 'CPUExecutionProvider', 'cuda': 'CUDAExecutionProvider'}
# what its messages say where memory ran out
NO_MEMORY = ('bad_alloc', 'failed to allocate', 'out of memory')


class OnnxGraph:
    """A network that ``mmentity export`` wrote, in ONNX Runtime.

    It takes as many threads as ``OMP_NUM_THREADS`` says, as PyTorch does, else one for each core.

    Args:
        path: The file.
        device: ``'cpu'``, ``'cuda'`` or ``'cuda:1'``; a GPU by default where the installed ONNX
            Runtime has one.

    Attributes:
        path: The file.
        device: Where it runs.
        info: What the file says about itself.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If ONNX Runtime is not installed.
        ValueError: If the file is none of ``mmentity export``, ONNX Runtime cannot run it, or
            the device cannot be used.
    """

    def __init__(self, path: Union[str, Path], device: Optional[str] = None) -> None:
        self.path = str(path)
        if not Path(path).is_file():
            raise FileNotFoundError(f'{path} does not exist; mmentity export makes such a file')
        runtime = import_runtime()
        self.device = device or _best_device(runtime)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get('OMP_NUM_THREADS') or 0)
        # errors only: a warning of a provider is nothing that a user could fix
        options.log_severity_level = 3
        providers = _providers(runtime, self.device)
        try:
            self._session = runtime.InferenceSession(self.path, options, providers)
        except Exception as error:
            raise ValueError(_why_not_run(self.path, runtime.__version__, error)) from error
        metadata = self._session.get_modelmeta().custom_metadata_map
        if KEY not in metadata:
            raise ValueError(
                f'{path} is an ONNX file without the metadata of mmentity, so that it is not '
                'known how images become its input; make one with: mmentity export CONFIG '
                f'WEIGHTS {Path(path).name}'
            )
        self.info = GraphInfo.from_json(metadata[KEY], self.path)
        self._check_input()

    def __call__(self, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Run the network over one image.

        Args:
            views: float32 ``(1, V, 3, H, W)``, normalised and padded.

        Returns:
            Class logits ``(Q, classes + 1)`` and mask logits ``(Q, V, h, w)``.

        Raises:
            ValueError: If the views are not of the size of the graph.
        """
        expected = (1, self.info.num_views, 3, *self.info.size)
        if views.shape != expected:
            raise ValueError(
                f'{self.path} is a graph of fixed size and takes {expected}, not {views.shape}; '
                'export one of that size with --height and --width'
            )
        cls_logits, mask_logits = self._session.run(None, {'views': views})
        return cls_logits[0], mask_logits[0]

    def _check_input(self) -> None:
        """Compare the graph with what its metadata say."""
        given = [(value.name, list(value.shape)) for value in self._session.get_inputs()]
        expected = [('views', [1, self.info.num_views, 3, *self.info.size])]
        if given != expected or len(self._session.get_outputs()) != 2:
            raise ValueError(
                f'{self.path} takes {given}, its metadata say {expected}; export it again'
            )


def import_runtime() -> Any:
    """Import ONNX Runtime.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            f'ONNX files need ONNX Runtime ({error}); run: pip install "mmentity[onnx]" (on an '
            'NVIDIA GPU onnxruntime-gpu in place of onnxruntime)'
        ) from error
    return onnxruntime


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of ONNX Runtime says that memory ran out."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(words in said for words in NO_MEMORY)


def _best_device(runtime: Any) -> str:
    return 'cuda' if PROVIDERS['cuda'] in runtime.get_available_providers() else 'cpu'


def _providers(runtime: Any, device: str) -> list:
    """Providers of a device; what a GPU has no kernel for runs on the CPU."""
    matched = re.fullmatch(r'(cpu|cuda)(?::(\d+))?', device)
    available = runtime.get_available_providers()
    if not matched or PROVIDERS[matched[1]] not in available:
        usable = [kind for kind, provider in PROVIDERS.items() if provider in available]
        hint = '; pip install onnxruntime-gpu' if device.startswith('cuda') else ''
        raise ValueError(
            f'device {device!r} cannot be used by this ONNX Runtime {runtime.__version__}; '
            f'usable: {", ".join(usable)}{hint}'
        )
    if matched[1] == 'cpu':
        return [PROVIDERS['cpu']]
    # TF32 would change results by more than the tests allow
    settings = {'device_id': matched[2] or '0', 'use_tf32': '0'}
    return [(PROVIDERS['cuda'], settings), PROVIDERS['cpu']]


def _why_not_run(path: str, version: str, error: Exception) -> str:
    """Say why ONNX Runtime refuses a file, and what to do."""
    reason = ' '.join(str(error).split())
    if 'opset' in reason or 'IR version' in reason:
        return (
            f'{path} is of a version of ONNX that ONNX Runtime {version} does not know ({reason}); '
            'run: pip install --upgrade onnxruntime, or export the file again'
        )
    if 'rotobuf' in reason or 'INVALID_GRAPH' in reason or 'ModelProto' in reason:
        return f'{path} is no complete ONNX file ({reason}); export it again'
    return f'ONNX Runtime {version} cannot run {path}: {reason}'
