"""From the views of a batch of images to one padded tensor and its targets."""

from collections.abc import Sequence

import torch
from mmdet.structures import DetDataSample, SampleList
from mmengine.model import ImgDataPreprocessor
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mmentity.models.transfers import move_together
from mmentity.registry import MODELS


@MODELS.register_module()
class MultiViewDataPreprocessor(ImgDataPreprocessor):
    """Normalise and pad every view of a batch to one size.

    Views of one image may differ by a pixel through rounding, so all of them
    are padded at the right and bottom to the largest, with 0 after
    normalisation. In training the entity maps of the views become boolean
    masks here, on the device of the model and at the size of its input: the
    only place where one mask for each entity exists.

    Args:
        mean: Mean of each channel, RGB, 0..255.
        std: Standard deviation of each channel, RGB.
        bgr_to_rgb: Whether the images come in OpenCV's channel order.
        pad_size_divisor: The padded sides are multiples of this, in px.
    """

    def __init__(
        self,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        bgr_to_rgb: bool = True,
        pad_size_divisor: int = 32,
    ) -> None:
        super().__init__(
            mean=mean,
            std=std,
            bgr_to_rgb=bgr_to_rgb,
            pad_size_divisor=pad_size_divisor,
            # the host only gives, so nobody has to wait
            non_blocking=True,
        )

    def forward(self, data: dict, training: bool = False) -> dict:
        """Collate one batch.

        Args:
            data: ``inputs``, for each image its views, uint8 ``(V, 3, h, w)``,
                and ``data_samples`` with ``view_shapes``, one for each image.
            training: Whether to make targets of the entity maps of the views.

        Returns:
            ``inputs`` float32 ``(B, V, 3, H, W)`` and ``data_samples``, whose
            ``gt_instances`` in training have ``labels`` ``(K,)``, ``masks``
            bool ``(K, V, H, W)`` and ``in_view`` bool ``(K, V)``.

        Raises:
            ValueError: If the images of the batch differ in their number of
                views, or a sample does not describe its views or has no targets.
        """
        data = self.cast_data(data)
        images, samples = data['inputs'], data['data_samples']
        _check_views(images, samples)
        height, width = (
            self._round_up(max(views.shape[axis] for views in images)) for axis in (-2, -1)
        )
        batch = images[0].new_zeros(
            (len(images), len(images[0]), 3, height, width), dtype=torch.float32
        )
        maps = self._cast_maps(samples) if training else [[]] * len(samples)
        for views, sample, padded, view_maps in zip(images, samples, batch, maps):
            for view, (h, w), target in zip(views, sample.view_shapes, padded):
                target[:, :h, :w] = self._normalize(view[:, :h, :w])
            # mmdet's get_flops reads the second
            shape = (height, width)
            sample.set_metainfo({'batch_input_shape': shape, 'pad_shape': shape})
            if training:
                self._make_targets(sample, view_maps, height, width)
        return {'inputs': batch, 'data_samples': samples}

    def _round_up(self, side: int) -> int:
        return -(-side // self.pad_size_divisor) * self.pad_size_divisor

    def _normalize(self, view: Tensor) -> Tensor:
        view = view.flip(0) if self._channel_conversion else view
        return (view.float() - self.mean) / self.std

    def _cast_maps(self, samples: SampleList) -> list[list[Tensor]]:
        """Copy the entity maps of all views of a batch to the device at once."""
        for sample in samples:
            if 'gt_view_maps' not in sample:
                raise ValueError(
                    f'image {sample.metainfo.get("img_path")} has no targets to train on; its '
                    'dataset has to give annotations, and LoadEntityAnnotations has to come '
                    'before ResizeViews'
                )
        moved = iter(
            move_together([ids for sample in samples for ids in sample.gt_view_maps], self.device)
        )
        return [[next(moved) for _ in sample.gt_view_maps] for sample in samples]

    def _make_targets(
        self, sample: DetDataSample, view_maps: Sequence[Tensor], height: int, width: int
    ) -> None:
        labels = sample.gt_instances.labels
        numbers = torch.arange(1, len(labels) + 1, device=labels.device).view(-1, 1, 1, 1)
        views = []
        for ids in view_maps:
            padded = F.pad(ids, (0, width - ids.shape[-1], 0, height - ids.shape[-2]))
            views.append((padded[None] == numbers).any(dim=1))
        masks = torch.stack(views, dim=1)
        sample.gt_instances = InstanceData(
            labels=labels, masks=masks, in_view=masks.flatten(2).any(dim=2)
        )
        del sample.gt_view_maps

    def to_rgb(self, view: Tensor) -> Tensor:
        """Undo the normalisation of one padded view ``(3, H, W)``; returns uint8 RGB."""
        values = view * self.std + self.mean
        values = values if self._channel_conversion else values.flip(0)
        return values.clamp(0, 255).round().byte()


def _check_views(images: Sequence[Tensor], samples: SampleList) -> None:
    counts = [len(views) for views in images]
    if len(set(counts)) != 1:
        raise ValueError(
            f'the images of a batch have {sorted(set(counts))} views; '
            'give all of them the same CropViews'
        )
    described = [len(sample.metainfo.get('view_shapes', ())) for sample in samples]
    if counts != described:
        raise ValueError(
            f'the images of a batch have {counts} views, their samples describe {described}; '
            'pack them with PackEntityInputs'
        )
