"""mmdet's evaluators for EntitySeg, whose category names repeat."""

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Optional

from mmdet.evaluation.metrics import CocoMetric, CocoPanopticMetric

from mmentity.datasets import EntitySegPanopticDataset
from mmentity.registry import METRICS


@METRICS.register_module()
class EntitySegInstanceMetric(CocoMetric):
    """COCO's mask AP under the official protocol, categories by id.

    mmdet's metric with 1, 10 and 100 predictions of an image, and with the
    ``category_ids`` of the dataset in place of a search by name. Of a dataset without
    them, categories are matched by name as mmdet does; those of a dataset of one class,
    as :class:`EntitySegDataset` is, count as that class where none has its name. Metrics
    are in percent, to one decimal as mmdet rounds them, NaN where no ground truth is of
    that size.

    Args:
        ann_file: Annotation file that the dataset reads, one file.
        classwise: Whether to show a table of all classes.
        **kwargs: As in :class:`mmdet.evaluation.CocoMetric`.
    """

    def __init__(
        self,
        ann_file: str,
        classwise: bool = True,
        proposal_nums: Sequence[int] = (1, 10, 100),
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault('metric', 'segm')
        super().__init__(
            ann_file=ann_file, classwise=classwise, proposal_nums=proposal_nums, **kwargs
        )

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the metrics, in percent.

        Returns:
            ``segm_mAP``, ``segm_mAP_50``, ``segm_mAP_75``, ``segm_mAP_s``, ``_m`` and
            ``_l``. Those of single classes are in the table of the log only.

        Raises:
            ValueError: If images or classes are not those of the annotation file.
        """
        self._check_images({prediction['img_id'] for _, prediction in results})
        self.cat_ids = self._category_ids()
        metrics = super().compute_metrics(results)
        return {name: _percent(v) for name, v in metrics.items() if '_mAP' in name}

    def _check_images(self, image_ids: set[int]) -> None:
        unknown = sorted(image_ids - set(self._coco_api.imgs))
        if unknown:
            raise ValueError(
                f'{len(unknown)} predicted images are not in ann_file of the metric, such as '
                f'image id {unknown[0]}; give it the annotation file of the dataset (datasets '
                'of several files number images anew where ids repeat)'
            )

    def _category_ids(self) -> list[int]:
        """Category id of each label."""
        if 'category_ids' in self.dataset_meta:
            return list(self.dataset_meta['category_ids'])
        classes = self.dataset_meta['classes']
        found = self._coco_api.get_cat_ids(cat_names=classes)
        if len(found) == len(classes):
            return found
        if len(classes) > 1:
            raise ValueError(
                f'the dataset has {len(classes)} classes, the annotation file of the metric '
                f'has {len(found)} categories of their names; give metainfo category_ids, the '
                'category id of each class'
            )
        content = self._coco_api.dataset
        content['categories'] = [{'id': 1, 'name': classes[0]}]
        for annotation in content['annotations']:
            annotation['category_id'] = 1
        self._coco_api.createIndex()
        return [1]


@METRICS.register_module()
class EntitySegPanopticMetric(CocoPanopticMetric):
    """PQ, SQ and RQ of all, thing and stuff classes, with mmdet's evaluator.

    The ground truth is what the samples name (``segments_info`` and
    ``seg_map_path``), so neither category names nor names of images have to match a
    json; for samples that do not, as those of mmdet's pipelines, give ``ann_file``
    and ``seg_prefix``. All PNGs are in one folder. Needs the package
    ``panopticapi-lite``. Metrics are in percent.

    Args:
        ann_file: Panoptic json that the dataset reads.
        seg_prefix: Folder of its PNGs.
        classwise: Whether to show a table of all classes.
        **kwargs: As in :class:`mmdet.evaluation.CocoPanopticMetric`. In the files
            that ``outfile_prefix`` asks for, categories are labels.

    Raises:
        ImportError: If panopticapi is not installed.
    """

    tmp_dir = None
    seg_prefix: Optional[str]

    def __init__(
        self,
        ann_file: Optional[str] = None,
        seg_prefix: Optional[str] = None,
        classwise: bool = True,
        **kwargs: Any,
    ) -> None:
        if find_spec('panopticapi') is None:
            raise ImportError(
                'PQ needs the package panopticapi; run: pip install --no-deps panopticapi-lite'
            )
        super().__init__(classwise=classwise, **kwargs)
        self.ann_file = ann_file
        self.annotation_prefix = seg_prefix

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Score one batch.

        Args:
            data_batch: Not used.
            data_samples: Samples as dicts, with ``pred_panoptic_seg``.

        Raises:
            ValueError: If a sample has no ground truth, or its PNG is in another
                folder than those before.
        """
        for sample in data_samples:
            if 'segments_info' not in sample:
                sample = {**sample, **self._annotation_of(sample['img_id'])}
            self._use_folder(str(Path(sample['seg_map_path']).parent))
            # mmdet looks for the PNG of the ground truth under the name of the image, and
            # writes into the prediction
            prediction = sample['pred_panoptic_seg']
            prediction = {**prediction, 'sem_seg': prediction['sem_seg'].clone()}
            changed = {'img_path': sample['seg_map_path'], 'pred_panoptic_seg': prediction}
            super().process(data_batch, [{**sample, **changed}])

    def _use_folder(self, folder: str) -> None:
        """Tell mmdet where the PNGs of the ground truth are; it knows one folder."""
        if self.seg_prefix not in (None, folder):
            raise ValueError(
                f'the maps of the ground truth are in two folders, {self.seg_prefix} and '
                f'{folder}; give each dataset a metric of its own'
            )
        self.seg_prefix = folder

    def _annotation_of(self, image_id: int) -> dict[str, Any]:
        if self.ann_file is None:
            raise ValueError(
                f'image {image_id} has no segments_info to score against; pack it with '
                'PackEntityInputs, or give the metric ann_file and seg_prefix'
            )
        if image_id not in self._annotated:
            raise ValueError(
                f'image {image_id} is not in {self.ann_file}; give the metric the annotation '
                'file of the dataset'
            )
        info = self._annotated[image_id]
        return {key: info[key] for key in ('segments_info', 'seg_map_path')}

    @cached_property
    def _annotated(self) -> dict[int, dict[str, Any]]:
        """What the annotation file tells of each image, by image id."""
        dataset = EntitySegPanopticDataset(
            ann_file=self.ann_file,
            data_prefix={'seg': self.annotation_prefix or ''},
            metainfo=self.dataset_meta,
            test_mode=True,
        )
        return {info['img_id']: info for info in map(dataset.get_data_info, range(len(dataset)))}


def _percent(value: float) -> float:
    return float('nan') if value < 0 else round(100 * value, 1)
