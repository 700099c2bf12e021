"""Detectors: the wiring of backbone, head and fusion head."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, ClassVar, Optional

import torch
from mmdet.models.detectors import Mask2Former
from mmdet.structures import OptSampleList, SampleList
from mmengine.model import ImgDataPreprocessor
from torch import Tensor

from mmentity.models.data_preprocessor import MultiViewDataPreprocessor
from mmentity.models.fusion.features import add_features
from mmentity.models.fusion.fusion_head import FusionResult, geometry_of
from mmentity.models.heads.mask2former_head import HeadPrediction
from mmentity.models.layers.global_filter import use_matrix_filters
from mmentity.models.layers.window_attention import use_windowed_blocks
from mmentity.models.memory import over_views, views_at_a_time
from mmentity.models.precision import autocast_to, check_precision
from mmentity.registry import MODELS
from mmentity.utils.allocator import memory_kept


@MODELS.register_module()
class EntityMask2Former(Mask2Former):
    """Mask2Former for entities, over one view of each image.

    Takes the arguments of :class:`mmdet.models.Mask2Former`; to use it in place
    of that one, change the ``type`` of the detector, of ``panoptic_head``
    (:class:`EntityMask2FormerHead`) and of ``panoptic_fusion_head``
    (:class:`EntityFusionHead`).

    ``test_cfg.precision`` is the precision of backbone and head in testing: ``'fp32'``,
    ``'bf16'``, ``'fp16'``, or None, the default, for float32 or the caller's autocast.
    Sampling positions and fusion are in float32 always. A device that is not faster in
    the precision runs in fp32, and a warning says why.

    With ``test_cfg.features=True`` the entities get features, see
    :func:`mmentity.models.fusion.features.add_features`; masks and scores stay as they are.

    Raises:
        ValueError: If the data preprocessor makes batches without views, the
            precision is none of the above, or features are asked for without entities.

    Attributes:
        load_hooks: Called before weights are loaded, with the model, the state dict, the prefix
            of its names and its metadata; ``mmentity.checkpoints`` adds one that converts and
            checks the weights.
        incomplete: Why the loaded weights are enough to begin a training with,
            but not to predict.
    """

    load_hooks: ClassVar[list[Callable[..., None]]] = []
    incomplete: Optional[Exception] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_precision((self.test_cfg or {}).get('precision'))
        use_windowed_blocks(self.backbone)
        use_matrix_filters(self.backbone)
        if self._has_features and 'entity' not in self.panoptic_fusion_head.tasks:
            raise ValueError(
                'test_cfg.features is set, but no entities are asked for; set entity_on=True too'
            )
        preprocessor = self.data_preprocessor
        # one that only moves tensors to a device is for batches that are collated elsewhere
        makes_batches = isinstance(preprocessor, ImgDataPreprocessor)
        if makes_batches and not isinstance(preprocessor, MultiViewDataPreprocessor):
            raise ValueError(
                f'{type(self).__name__} has the data_preprocessor '
                f'{type(preprocessor).__name__}, which takes images without views; set '
                "data_preprocessor=dict(_delete_=True, type='mmentity.MultiViewDataPreprocessor')"
            )

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, local_metadata: dict, *args: Any
    ) -> None:
        for hook in self.load_hooks:
            hook(self, state_dict, prefix, local_metadata)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    def train(self, mode: bool = True) -> 'EntityMask2Former':
        """Switch to training, or to prediction unless the loaded weights are incomplete."""
        if mode:
            self.incomplete = None
        elif self.incomplete is not None:
            raise self.incomplete
        return super().train(mode)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter and number of depths, for learning rates that fall by layer.

        As mmpretrain's ``LearningRateDecayOptimWrapperConstructor`` asks for them; all of the
        head has the greatest depth.

        Args:
            param_name: Name of the parameter.
            prefix: What comes before ``backbone.`` in it.

        Raises:
            NotImplementedError: If the backbone does not know the depths of its layers.
        """
        if not hasattr(self.backbone, 'get_layer_depth'):
            raise NotImplementedError(
                f'{type(self.backbone).__name__} has no get_layer_depth, which learning rates '
                'that fall by layer need; use paramwise_cfg with custom_keys instead'
            )
        return self.backbone.get_layer_depth(param_name, f'{prefix}backbone.')

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the backbone over all views.

        Args:
            batch_inputs: ``(B, V, 3, H, W)``, or ``(B, 3, H, W)`` for one view of each
                image.

        Returns:
            Feature maps, finest first, each ``(B * V, C, h, w)``.
        """
        views = batch_inputs.flatten(0, -4) if batch_inputs.ndim > 4 else batch_inputs
        if torch.is_grad_enabled() or self.training:
            return super().extract_feat(views)
        # a finest cell of stride 4 has the channels of the head's first level
        channels = -(-self.panoptic_head.in_channels[0] // 16)
        step = views_at_a_time(views, channels, self.test_cfg)
        return tuple(over_views(super().extract_feat, [views], step))

    def predict_masks(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> HeadPrediction:
        """Run backbone and head: what :meth:`predict` makes the results of.

        They run in ``test_cfg.precision``.

        Args:
            batch_inputs: ``(B, V, 3, H, W)``, normalised and padded.
            batch_data_samples: B samples.
        """
        return self._run(self.panoptic_head.predict, batch_inputs, batch_data_samples)

    def _run(
        self, predict: Callable[..., Any], batch_inputs: Tensor, batch_data_samples: SampleList
    ) -> Any:
        """Run the backbone, and a method of the head over what it gives."""
        device = batch_inputs.device
        keeping = memory_kept() if device.type == 'cpu' else nullcontext()
        with keeping, autocast_to((self.test_cfg or {}).get('precision'), device):
            return predict(self.extract_feat(batch_inputs), batch_data_samples)

    def _forward(
        self, batch_inputs: Tensor, batch_data_samples: OptSampleList = None
    ) -> HeadPrediction:
        """Run :meth:`predict_masks`; what counts a model's work runs this."""
        samples = batch_data_samples or [None] * len(batch_inputs)
        return self.predict_masks(batch_inputs, samples)

    def predict(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> SampleList:
        """Predict the entities, or what else ``test_cfg`` asks for, at the original size.

        Args:
            batch_inputs: ``(B, V, 3, H, W)``, normalised and padded.
            batch_data_samples: B samples.

        Returns:
            The samples with ``pred_entity_map`` (``ids`` int32 ``(1, H0, W0)``, k
            is row k-1 of the instances) and ``pred_instances``: ``scores``
            descending, ``labels``, ``bboxes`` xyxy px, ``areas`` px,
            ``query_inds``, and ``masks`` and features where ``test_cfg`` asks for them; for
            other tasks as :class:`EntityFusionHead` says.
        """
        if self._has_features:
            results = self._predict_with_features(batch_inputs, batch_data_samples)
        else:
            logits = self.predict_masks(batch_inputs, batch_data_samples)
            results = self.panoptic_fusion_head.predict(*logits, batch_data_samples)
        for sample, result in zip(batch_data_samples, results):
            for name, value in result.items():
                setattr(sample, name, value)
        return batch_data_samples

    @property
    def _has_features(self) -> bool:
        return bool((self.test_cfg or {}).get('features', False))

    def _predict_with_features(
        self, batch_inputs: Tensor, batch_data_samples: SampleList
    ) -> list[FusionResult]:
        head: Any = self.panoptic_head
        logits, features = self._run(head.predict_with_features, batch_inputs, batch_data_samples)
        results = self.panoptic_fusion_head.predict(*logits, batch_data_samples)
        for b, (result, sample) in enumerate(zip(results, batch_data_samples)):
            geometry = geometry_of(logits.mask_logits[b], sample.metainfo)
            add_features(result, features.mask_features[b], features.queries[b], geometry)
        return results


@MODELS.register_module()
class CropFormer(EntityMask2Former):
    """CropFormer (Qi et al., High-Quality Entity Segmentation, ICCV 2023).

    View 0 is the whole image, views 1.. are its crops; the backbone and the
    pixel decoder run over all of them, :class:`CropFormerHead` joins them and
    :class:`EntityFusionHead` makes one map of them.
    """
