"""Import what mmentity builds on, and look at the devices; the doctor runs this in a process.

An import can fail in many ways and even end the process, so a file holds what is
known so far: ``python -m mmentity.cli.probe FILE``.
"""

import json
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Optional

# each after those that it needs: the first one that fails is the cause
LIBRARIES = (
    'numpy', 'PIL', 'cv2', 'torch', 'torchvision', 'scipy', 'matplotlib', 'pycocotools.mask',
    'rich', 'safetensors', 'terminaltables', 'mmengine', 'mmcv', 'mmcv.ops', 'mmdet',
    'mmpretrain',
)  # fmt: skip
# imported by mmentity itself, or needed by one feature only
OPTIONAL = (
    'mmseg', 'panopticapi', 'onnxruntime', 'onnx', 'onnxscript', 'starlette', 'uvicorn',
)  # fmt: skip
MMENTITY = (
    'mmentity.models', 'mmentity.evaluation', 'mmentity.engine', 'mmentity.apis.torch_backend',
)  # fmt: skip


class Probe(NamedTuple):
    """What was found: messages of failed imports, and each device with its attention.

    ``cuda_ops`` is the CUDA version of mmcv's compiled ops, ``'not available'`` for ops
    of the CPU alone, None where none are compiled; ``importing`` is what was being
    imported when the process ended.
    """

    errors: dict[str, str]
    devices: dict[str, str]
    attention: dict[str, str]
    cuda_ops: Optional[str] = None
    has_driver: bool = False
    importing: Optional[str] = None


def main(path: Path) -> None:
    """Write a :class:`Probe` as json."""
    probe = Probe({}, {}, {}, has_driver=Path('/proc/driver/nvidia/version').is_file())
    for module in ('mmentity.registry', *LIBRARIES, *OPTIONAL, *MMENTITY):
        path.write_text(json.dumps(probe._replace(importing=module)._asdict()))
        try:
            imported = import_module(module)
            if module == 'cv2' and not hasattr(imported, 'imread'):
                raise ImportError('cv2 is an empty folder')
        except (Exception, SystemExit) as error:
            probe.errors[module] = f'{type(error).__name__}: {error}'.strip()
    # what fails below has failed above, or has no compiled ops
    with suppress(Exception):
        probe.devices.update(_devices())
    with suppress(Exception):
        probe = probe._replace(cuda_ops=import_module('mmcv.ops').get_compiling_cuda_version())
    with suppress(Exception):
        attention = import_module('mmentity.models.layers.deformable_attention')
        probe.attention.update({each: attention.attention_way(each) for each in probe.devices})
    path.write_text(json.dumps(probe._asdict()))


def _devices() -> dict[str, str]:
    torch = import_module('torch')
    devices = {'cpu': f'{torch.get_num_threads()} threads'}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        devices[f'cuda:{index}'] = f'{properties.name}, {properties.total_memory / 2**30:.0f} GiB'
    return devices


if __name__ == '__main__':
    main(Path(sys.argv[1]))
