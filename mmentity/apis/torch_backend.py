"""Prediction with a detector of a config, in PyTorch."""

import hashlib
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import torch
from mmcv.transforms import Compose
from mmdet.registry import TRANSFORMS
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from torch import nn

from mmentity.apis.class_names import ENTITY
from mmentity.apis.compiled import compile_for_prediction
from mmentity.apis.crops import with_crops
from mmentity.apis.inputs import to_bgr
from mmentity.apis.models import get_model, usable_device
from mmentity.apis.result import prediction_of
from mmentity.apis.sources import InputImage
from mmentity.apis.views import crop_steps, with_views
from mmentity.checkpoints.hub import weights_file
from mmentity.converters import load_weights
from mmentity.models.memory import is_out_of_memory
from mmentity.models.precision import check_precision, usable_precision
from mmentity.structures.prediction import Prediction
from mmentity.utils.shipped_configs import decisive_digest, get_config

# types of the step of a test pipeline that reads a file
LOADERS = ('LoadImageFromFile', 'LoadEntityImage')


class TorchBackend:
    """A detector and the test pipeline of its config.

    Takes the arguments of :class:`mmentity.apis.EntityInferencer`.

    Attributes:
        cfg: The config.
        model: The detector.
        loader: The step of the pipeline that reads a file.
        pipeline: The steps after it.
        origin: Config and digest, for the record of a run.

    Raises:
        FileNotFoundError: If there is no such config or checkpoint.
        ValueError: As of :class:`mmentity.apis.EntityInferencer`.
    """

    def __init__(
        self,
        model: Union[str, Path, Config, nn.Module],
        weights: Optional[Union[str, Path]] = None,
        device: Optional[str] = None,
        precision: Optional[str] = None,
        compile: bool = False,
        crops: Optional[int] = None,
        views: Optional[Union[str, Sequence[int]]] = None,
        view_overlap: Optional[float] = None,
        features: bool = False,
    ) -> None:
        check_precision(precision)
        self.cfg = with_views(_config_of(model), views, view_overlap)
        if crops is not None:
            if views is not None:
                raise ValueError('crops and views both say which crops there are; give one of them')
            self.cfg = with_crops(self.cfg, crops)
        built = model if isinstance(model, nn.Module) else None
        self.model = self._init_model(built, weights, usable_device(device or get_device()))
        self._init_pipeline()
        if precision is not None:
            # not in place: the config of the model has it too
            test_cfg = {**(self.model.test_cfg or {}), 'precision': precision}
            self.model.test_cfg = ConfigDict(test_cfg)
        if features:
            self.model.test_cfg = ConfigDict({**(self.model.test_cfg or {}), 'features': True})
        if crops == 0:
            # of a model that was built before, too
            head = self.model.panoptic_head
            head.test_cfg = ConfigDict({**(head.test_cfg or {}), 'one_view': True})
        if compile:
            compile_for_prediction(self.model)

    @property
    def origin(self) -> dict[str, Any]:
        """Config and digest, for the record of a run."""
        return {'config': self.cfg.filename, 'config_sha256': decisive_digest(self.cfg)}

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return next(self.model.parameters()).device

    @property
    def precision(self) -> str:
        """Precision in which the network runs: the one asked for, or fp32."""
        return usable_precision((self.model.test_cfg or {}).get('precision'), self.device)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by label; of a model that knows none, ``('entity',)``."""
        meta = getattr(self.model, 'dataset_meta', None) or {}
        return tuple(meta.get('classes') or ENTITY)

    @property
    def has_features(self) -> bool:
        """Whether the detector is asked for features of entities."""
        return bool((self.model.test_cfg or {}).get('features', False))

    @property
    def takes_boxes(self) -> bool:
        """Whether the test pipeline cuts crops, which boxes can take the place of."""
        return bool(crop_steps(self.cfg))

    def read(self, image: InputImage) -> np.ndarray:
        """Read an image as the config does, uint8 BGR ``(H0, W0, 3)``."""
        if image.content is None:
            return self.loader({'img_path': image.path, 'img_id': image.name})['img']
        return to_bgr(image.content, self.depth, image.place)

    def pack(self, img: np.ndarray, image: InputImage) -> dict[str, Any]:
        """Run the test pipeline over an image."""
        return self.pipeline(
            {
                'img_path': image.path,
                'img_id': image.name,
                'img': img,
                'crop_boxes': image.crop_boxes,
                'img_shape': img.shape[:2],
                'ori_shape': img.shape[:2],
            }
        )

    def size_of(self, packed: dict[str, Any]) -> Hashable:
        """Return the size of the views before padding."""
        return tuple(packed['inputs'].shape[-2:])

    def predict(self, batch: Sequence[dict[str, Any]]) -> list[Prediction]:
        """Predict images of one size."""
        return [prediction_of(sample) for sample in self.forward(pseudo_collate(batch))]

    @torch.no_grad()
    def forward(self, batch: dict[str, Any]) -> list:
        """Run the model over a collated batch; returns its samples."""
        return self.model.test_step(batch)

    def weights_digest(self) -> str:
        """Digest parameters and buffers with their names."""
        digest = hashlib.sha256()
        for name, value in self.model.state_dict().items():
            if isinstance(value, torch.Tensor):
                digest.update(name.encode())
                values = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
                digest.update(values.data)
        return digest.hexdigest()

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether an error says that memory ran out."""
        return is_out_of_memory(error)

    def _init_model(
        self, built: Optional[nn.Module], weights: Optional[Union[str, Path]], device: str
    ) -> Any:
        model, cfg = built, self.cfg
        if model is None:
            model = get_model(cfg, weights, device)
        elif weights is not None:
            load_weights(model, weights_file(weights, cfg))
        tasks = getattr(getattr(model, 'panoptic_fusion_head', None), 'tasks', ())
        if 'entity' not in tasks:
            raise ValueError(
                f'{cfg.filename or "the config"} predicts {", ".join(tasks) or "something"} and '
                'no entities; choose a config of entities or set model.test_cfg.entity_on=True'
            )
        return model.to(device).eval()

    def _init_pipeline(self) -> None:
        """Split the test pipeline into reading a file and the rest."""
        cfg = self.cfg
        steps = cfg.test_dataloader.dataset.pipeline if 'test_dataloader' in cfg else []
        types = [str(step['type']) for step in steps]
        loaders = [k for k, name in enumerate(types) if name.endswith(LOADERS)]
        if len(loaders) != 1:
            raise ValueError(
                f'the test pipeline of {cfg.filename or "the config"} has {len(loaders)} '
                'LoadImageFromFile, it needs one; see configs/_base_/datasets'
            )
        rest = [
            step
            for k, step in enumerate(steps)
            if k != loaders[0] and not (types[k].rpartition('.')[2].startswith('Load'))
        ]
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmdet')):
            self.loader = TRANSFORMS.build(steps[loaders[0]])
            self.pipeline = Compose(rest)
        self.depth = getattr(self.loader, 'depth', 'auto')


def _config_of(model: Union[str, Path, Config, nn.Module]) -> Config:
    if isinstance(model, nn.Module):
        if not hasattr(model, 'cfg'):
            raise ValueError('the model has no config; set model.cfg, as mmdet does')
        return model.cfg
    if isinstance(model, (str, Path)):
        return get_config(model)
    return model if isinstance(model, Config) else Config(model)
