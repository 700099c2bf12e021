"""Registries of the scope ``mmentity``.

Each is a direct child of mmengine's root registry: a child of mmdet's would
not be found by a config whose default scope is another package. ``locations``
lets ``type='mmentity.X'`` resolve from any OpenMMLab config without an import.
"""

from mmentity.utils.dependencies import check_dependencies

check_dependencies()

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import STRATEGIES as MMENGINE_STRATEGIES
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import Registry


def _child(name: str, parent: Registry, *rooms: str) -> Registry:
    locations = [f'mmentity.{room}' for room in rooms]
    return Registry(name, parent=parent, scope='mmentity', locations=locations)


# ``checkpoints`` lets mmengine load weights; a model or a dataset is built before it does
DATASETS = _child(
    'dataset',
    MMENGINE_DATASETS,
    'datasets.coco',
    'datasets.entityseg',
    'datasets.folder',
    'checkpoints',
)
TRANSFORMS = _child('transform', MMENGINE_TRANSFORMS, 'datasets.transforms')
MODELS = _child('model', MMENGINE_MODELS, 'models', 'checkpoints')
METRICS = _child('metric', MMENGINE_METRICS, 'evaluation')
VISUALIZERS = _child(
    'visualizer',
    MMENGINE_VISUALIZERS,
    'visualization.entity_visualizer',
    'visualization.semantic_visualizer',
)
HOOKS = _child('hook', MMENGINE_HOOKS, 'engine')
OPTIM_WRAPPERS = _child('optim_wrapper', MMENGINE_OPTIM_WRAPPERS, 'engine')
STRATEGIES = _child('strategy', MMENGINE_STRATEGIES, 'engine')
