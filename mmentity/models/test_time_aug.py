"""One result from several augmented copies of an image."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmdet.structures import DetDataSample, SampleList
from mmengine.model import BaseTTAModel
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mmentity.models.fusion.fusion_head import geometry_of
from mmentity.models.fusion.geometry import ViewGeometry
from mmentity.models.transfers import move
from mmentity.registry import MODELS

# longest side at which the masks of two copies are compared, px
COMPARED_SIDE = 128


class AugmentedPrediction(NamedTuple):
    """What the head gives for one copy of an image, brought back to the image.

    Attributes:
        sample: Sample of the copy.
        class_probs: ``(Q, classes + 1)``.
        mask_logits: ``(Q, V, h, w)``; columns of a mirrored copy are in reverse order.
        geometry: Where the views of the copy lie in the image.
    """

    sample: DetDataSample
    class_probs: Tensor
    mask_logits: Tensor
    geometry: ViewGeometry


@MODELS.register_module()
class EntityTTAModel(BaseTTAModel):
    """Test a detector of this package on mirrored and resized copies of each image.

    The copies are made by ``TestTimeAug`` of mmcv in ``tta_pipeline``, of
    :class:`FlipEntities` and :class:`ResizeViews`. Each is predicted by itself. The queries
    of a copy are matched with those of the first one by their masks; the class
    probabilities of a match are averaged, and its masks are masks on the views of all
    copies, whose probabilities the fusion averages pixel by pixel.

    Args:
        module: Config of the detector.
        data_preprocessor: Its data preprocessor, if not in ``module``.

    Raises:
        ValueError: If ``test_cfg.features`` is set: copies have no feature in common.

    Examples:
        >>> config.model = dict(type='mmentity.EntityTTAModel', module=config.model)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if (self.module.test_cfg or {}).get('features', False):
            raise ValueError(
                'test_cfg.features is set, and augmented copies of an image have no features '
                'in common; leave one of both out'
            )

    def test_step(self, data: dict[str, Any]) -> SampleList:
        """Predict one batch.

        Args:
            data: ``inputs`` and ``data_samples``, for each copy those of all images.

        Returns:
            Samples of the first copy, with results as of :class:`EntityMask2Former`.
        """
        copies = [
            self._predict_copy({key: value[number] for key, value in data.items()})
            for number in range(len(data['inputs']))
        ]
        return self.merge_preds(list(zip(*copies)))

    def merge_preds(self, data_samples_list: Sequence[Sequence[AugmentedPrediction]]) -> SampleList:
        """Make the results of each image of the predictions of its copies."""
        samples = []
        for copies in data_samples_list:
            merged = merge_copies(copies)
            result = self.module.panoptic_fusion_head.fuse(*merged[1:])
            for name, value in result.items():
                setattr(merged.sample, name, value)
            samples.append(merged.sample)
        return samples

    def _predict_copy(self, batch: dict[str, Any]) -> list[AugmentedPrediction]:
        batch = self.module.data_preprocessor(batch, False)
        samples = batch['data_samples']
        cls_logits, mask_logits = self.module.predict_masks(batch['inputs'], samples)
        return [
            _bring_back(sample, *logits)
            for sample, *logits in zip(samples, cls_logits.float(), mask_logits.float())
        ]


def _bring_back(
    sample: DetDataSample, cls_logits: Tensor, mask_logits: Tensor
) -> AugmentedPrediction:
    geometry = geometry_of(mask_logits, sample.metainfo)
    if sample.metainfo.get('flip'):
        mask_logits, geometry = mask_logits.flip(-1), geometry.mirror()
    return AugmentedPrediction(sample, cls_logits.softmax(dim=-1), mask_logits, geometry)


def merge_copies(copies: Sequence[AugmentedPrediction]) -> AugmentedPrediction:
    """Merge predictions of the copies of one image into one with the views of all."""
    first, others = copies[0], copies[1:]
    if not others:
        return first
    masks = _small_masks(first)
    matches = [_match(masks, _small_masks(copy)) for copy in others]
    probs = [first.class_probs, *(c.class_probs[match] for c, match in zip(others, matches))]
    logits = [first.mask_logits, *(c.mask_logits[match] for c, match in zip(others, matches))]
    geometry = first.geometry.join([copy.geometry for copy in others])
    height, width = (max(part.shape[axis] for part in logits) for axis in (-2, -1))
    padded = [F.pad(m, (0, width - m.shape[-1], 0, height - m.shape[-2])) for m in logits]
    return AugmentedPrediction(
        first.sample, torch.stack(probs).mean(dim=0), torch.cat(padded, dim=1), geometry
    )


def _small_masks(prediction: AugmentedPrediction) -> Tensor:
    """Probabilities of masks at every n-th pixel of the image, ``(Q, pixels)``."""
    geometry = prediction.geometry
    step = max(1, -(-max(geometry.height, geometry.width) // COMPARED_SIDE))
    # what is left over lies on both sides, as in the mirror image
    rows, columns = (
        torch.arange((side - 1) % step // 2, side, step)
        for side in (geometry.height, geometry.width)
    )
    whole = prediction.mask_logits[:, 0]
    down = move(geometry.rows[0].rows_of(rows), whole.device)
    across = move(geometry.columns[0].rows_of(columns), whole.device)
    return (down @ whole @ across.T).sigmoid().flatten(1)


def _match(masks: Tensor, others: Tensor) -> Tensor:
    """Number of the other mask for each mask, one to one, of the greatest sum of overlaps.

    The overlap is the Dice coefficient, which both sides see alike.
    """
    sums = masks.sum(dim=1)[:, None] + others.sum(dim=1)
    dice = 2 * masks @ others.T / sums.clamp(min=1e-6)
    matched = linear_sum_assignment(dice.cpu().numpy(), maximize=True)[1]
    return torch.from_numpy(matched).to(masks.device)
