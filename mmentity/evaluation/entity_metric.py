"""AP of entities, with and without overlap."""

import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from terminaltables import AsciiTable

from mmentity.evaluation.coco_tables import (
    PRECISIONS,
    RECALLS,
    OverlapTable,
    summarize_tables,
)
from mmentity.evaluation.overlaps import (
    boundary_tables_of_map,
    boundary_tables_of_rles,
    table_of_map,
    table_of_rles,
)
from mmentity.evaluation.samples import (
    GroundTruth,
    Sample,
    entities_of,
    ground_truth_of,
    rles_of,
)
from mmentity.registry import METRICS
from mmentity.structures import EntityMap
from mmentity.structures.rle import Rle
from mmentity.utils.arrays import to_numpy
from mmentity.utils.files import whole_file


@METRICS.register_module()
class EntityMetric(BaseMetric):
    """Class-agnostic COCO mask AP of entities (CropFormer, section 5).

    AP^e scores the predicted entity map: predictions do not overlap, and all
    overlaps of an image come from one joint histogram with the map of the ground
    truth. AP scores masks before their overlaps are resolved. Every category counts
    as one; 1, 10 and 100 predictions of an image count; areas of the ground truth
    come from the annotations, those of predictions from their pixels; crowds are
    ignored as COCO does. Matching and accumulation are pycocotools'.

    Samples of any detector with masks are scored too: without a ``pred_entity_map`` the
    masks of ``pred_instances`` are taken, and AP^e is computed where they do not overlap
    or ``resolve_overlaps`` is set. The ground truth is what :func:`find_ground_truth` reads:
    :class:`LoadEntityAnnotations` after :class:`ResizeViews`, or in mmdet's pipelines
    ``LoadAnnotations`` after ``Resize``.

    Args:
        overlap: Whether to score ``pred_overlap_instances.masks`` as AP too; set
            ``entity_on`` and ``instance_on`` in ``test_cfg`` of the model then. Where a
            sample has none, ``pred_instances.masks`` are scored.
        format_only: Write results without scoring; no ground truth is needed then.
        outfile_prefix: Write ``{outfile_prefix}.entity.json``, a COCO result
            file with RLE masks, and ``{outfile_prefix}.overlap.json`` if
            ``overlap``.
        collect_device: As in mmengine.
        prefix: First part of the names of the metrics.
        resolve_overlaps: Whether a pixel of several ``pred_instances.masks`` goes to the
            mask of the highest score, where a sample has no ``pred_entity_map``.
        boundary: Whether to give boundary AP too (Cheng et al., Boundary IoU, CVPR 2021): the
            overlap of a pair is the lesser of mask IoU and the IoU of the bands within 2 % of
            the diagonal inside of their boundaries. Crowds and areas count as in AP^e.

    Raises:
        ValueError: If ``format_only`` is set without ``outfile_prefix`` or with ``boundary``,
            or a sample has no ground truth or no prediction.
    """

    default_prefix = 'entity'

    def __init__(
        self,
        overlap: bool = False,
        format_only: bool = False,
        outfile_prefix: Optional[str] = None,
        collect_device: str = 'cpu',
        prefix: Optional[str] = None,
        resolve_overlaps: bool = False,
        boundary: bool = False,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if format_only and outfile_prefix is None:
            raise ValueError('format_only writes result files; say where with outfile_prefix')
        if format_only and boundary:
            raise ValueError('format_only scores nothing; omit it, or boundary')
        self.overlap = overlap
        self.boundary = boundary
        self.resolve_overlaps = resolve_overlaps
        self.format_only = format_only
        self.outfile_prefix = outfile_prefix

    def process(
        self, data_batch: Mapping[str, Any], data_samples: Sequence[Mapping[str, Any]]
    ) -> None:
        """Reduce one batch to small tables.

        Args:
            data_batch: Not used.
            data_samples: Samples as dicts, with prediction and ground truth.
        """
        for sample in data_samples:
            result: dict[str, Any] = {'img_id': sample['img_id']}
            predicted = entities_of(sample, self.resolve_overlaps)
            ground_truth = None if self.format_only else ground_truth_of(sample)
            if predicted is not None:
                self._add_entities(result, sample, predicted, ground_truth)
            elif not self.overlap:
                raise ValueError(
                    f'the predicted masks of image {sample["img_id"]} overlap, and AP^e is of '
                    'entities that do not; set resolve_overlaps=True, by which a pixel goes to '
                    'the mask of the highest score, or overlap=True, which scores them as they '
                    'are'
                )
            if self.overlap:
                self._add_overlapping(result, sample, ground_truth)
            self.results.append(result)

    def _add_entities(
        self,
        result: dict[str, Any],
        sample: Sample,
        predicted: EntityMap,
        ground_truth: Optional[GroundTruth],
    ) -> None:
        """Add what AP^e needs."""
        scores = to_numpy(sample['pred_instances']['scores']).astype(np.float64)
        if ground_truth is not None and self.boundary:
            tables = boundary_tables_of_map(ground_truth, predicted, scores)
            result['entity'], result['boundary_entity'] = tables
        elif ground_truth is not None:
            result['entity'] = table_of_map(ground_truth, predicted, scores)
        if self.outfile_prefix is not None:
            result['entity_json'] = _coco_results(sample['img_id'], predicted.rles(), scores)

    def _add_overlapping(
        self, result: dict[str, Any], sample: Sample, ground_truth: Optional[GroundTruth]
    ) -> None:
        """Add what AP needs."""
        instances = sample.get('pred_overlap_instances', sample['pred_instances'])
        if 'masks' not in instances:
            raise ValueError(
                f'image {sample["img_id"]} has no masks to score as AP; set entity_on and '
                'instance_on in test_cfg, or overlap=False'
            )
        rles = rles_of(instances['masks'])
        scores = to_numpy(instances['scores']).astype(np.float64)
        if ground_truth is not None and self.boundary:
            tables = boundary_tables_of_rles(ground_truth, rles, scores)
            result['overlap'], result['boundary_overlap'] = tables
        elif ground_truth is not None:
            result['overlap'] = table_of_rles(ground_truth, rles, scores)
        if self.outfile_prefix is not None:
            result['overlap_json'] = _coco_results(sample['img_id'], rles, scores)

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Write the result files and compute the metrics.

        Returns:
            ``APe``, ``APe_50``, ``APe_75``, ``APe_s``, ``APe_m``, ``APe_l`` and
            ``ARe_1``, ``ARe_10``, ``ARe_100``, ``ARe_s``, ``ARe_m``, ``ARe_l``, in
            percent; ``AP...`` and ``AR...`` likewise where ``overlap``, and all of them with
            ``boundary_`` before their names where ``boundary``. NaN where no ground truth is
            of that size. Those of AP^e are left out where masks overlap.
        """
        logger = MMLogger.get_current_instance()
        results = sorted(results, key=lambda result: result['img_id'])
        kinds = [('entity', 'e')] + ([('overlap', '')] if self.overlap else [])
        if not all({'entity', 'entity_json'} & set(result) for result in results):
            logger.info(
                'AP^e is left out, as predicted masks overlap; resolve_overlaps=True gives a '
                'pixel to the mask of the highest score'
            )
            kinds = kinds[1:]
        for kind, _ in kinds:
            if self.outfile_prefix is not None:
                path = Path(f'{self.outfile_prefix}.{kind}.json')
                rows = [row for result in results for row in result[f'{kind}_json']]
                with whole_file(path) as partial:
                    partial.write_text(json.dumps(rows))
                logger.info(f'{kind} results are in {path}')
        metrics: dict[str, float] = {}
        if self.format_only:
            return metrics
        for of in ('', 'boundary_') if self.boundary else ('',):
            for kind, letter in kinds:
                tables = [result[f'{of}{kind}'] for result in results]
                metrics.update(_metrics_of(tables, of, letter))
        logger.info('\n' + metrics_table(metrics))
        return metrics


def metrics_table(metrics: Mapping[str, float]) -> str:
    """Render metrics by name as a table of two columns, in percent."""
    rows = [[name, f'{value:.2f}'] for name, value in metrics.items()]
    return AsciiTable([['metric', '%'], *rows]).table


def _metrics_of(tables: Sequence[OverlapTable], of: str, letter: str) -> dict[str, float]:
    """Name the twelve COCO metrics, in percent."""
    with contextlib.redirect_stdout(io.StringIO()):
        stats = 100 * summarize_tables(tables)
    precisions = {f'{of}AP{letter}{suffix}': stats[k] for suffix, k in PRECISIONS.items()}
    recalls = {f'{of}AR{letter}{suffix}': stats[k] for suffix, k in RECALLS.items()}
    return {name: float(value) for name, value in (precisions | recalls).items()}


def _coco_results(img_id: int, rles: list[Rle], scores: np.ndarray) -> list[dict[str, Any]]:
    return [
        {
            'image_id': img_id,
            'category_id': 1,
            'score': float(score),
            'segmentation': {'size': list(rle['size']), 'counts': _text(rle['counts'])},
        }
        for rle, score in zip(rles, scores)
    ]


def _text(counts: Union[str, bytes]) -> str:
    return counts.decode() if isinstance(counts, bytes) else counts
