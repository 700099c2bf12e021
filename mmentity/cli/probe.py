"""Import what mmentity builds on, and look at the devices; the doctor runs this in a process.

An import can fail in many ways and even end the process, so a file holds what is
known so far: ``python -m mmentity.cli.probe FILE``.
"""

import contextlib
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

# each after those that it needs: the first one that fails is the cause
LIBRARIES = (
    'numpy', 'PIL', 'cv2', 'torch', 'torchvision', 'scipy', 'matplotlib', 'pycocotools.mask',
    'rich', 'terminaltables', 'mmengine', 'mmcv', 'mmcv.ops', 'mmdet', 'mmpretrain',
)  # fmt: skip
# imported by mmentity itself, or needed by one feature only
OPTIONAL = ('mmseg', 'panopticapi', 'gradio')
MMENTITY = ('mmentity.models', 'mmentity.evaluation', 'mmentity.engine', 'mmentity.apis')


def main(path: Path) -> None:
    """Write ``errors`` by module, ``devices``, ``attention`` and ``cuda_ops``."""
    report: dict[str, Any] = {'errors': {}, 'devices': {}, 'attention': {}, 'cuda_ops': None}
    for module in ('mmentity.registry', *LIBRARIES, *OPTIONAL, *MMENTITY):
        path.write_text(json.dumps({**report, 'importing': module}))
        try:
            imported = import_module(module)
            if module == 'cv2' and not hasattr(imported, 'imread'):
                raise ImportError('cv2 is an empty folder')
        except (Exception, SystemExit) as error:
            report['errors'][module] = f'{type(error).__name__}: {error}'.strip()
    for look in (_look_at_devices, _look_at_ops):
        # what fails here has failed above
        with contextlib.suppress(Exception):
            look(report)
    path.write_text(json.dumps(report))


def _look_at_devices(report: dict[str, Any]) -> None:
    torch = import_module('torch')
    report['devices']['cpu'] = f'{torch.get_num_threads()} threads'
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        size = properties.total_memory / 2**30
        report['devices'][f'cuda:{index}'] = f'{properties.name}, {size:.0f} GiB'


def _look_at_ops(report: dict[str, Any]) -> None:
    ops = import_module('mmcv.ops')
    # it fails where there are no compiled ops at all
    with contextlib.suppress(Exception):
        report['cuda_ops'] = ops.get_compiling_cuda_version()
    attention = import_module('mmentity.models.layers.deformable_attention')
    for device in report['devices']:
        report['attention'][device] = attention.attention_way(device)


if __name__ == '__main__':
    main(Path(sys.argv[1]))
