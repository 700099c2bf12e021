"""Predictions of a test as one small file."""

from collections.abc import Sequence

from mmengine.evaluator import DumpResults

from mmentity.registry import METRICS
from mmentity.structures import EntityMap


@METRICS.register_module()
class DumpEntityResults(DumpResults):
    """Write the predictions of a test run to a pickle file.

    Each image is a dict of ``img_id``, ``img_path``, ``ori_shape``, and of its
    entities in descending score ``scores``, ``labels``, ``bboxes`` (xyxy px) and
    ``masks`` (COCO RLE): the entity map costs its runs, not its pixels.

    Args:
        out_file_path: File to write; ends in ``.pkl``.
    """

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Reduce one batch."""
        for sample in data_samples:
            instances = sample['pred_instances']
            ids = sample['pred_entity_map']['ids'].cpu().numpy()
            row = {key: sample[key] for key in ('img_id', 'img_path', 'ori_shape')}
            row.update(
                {key: instances[key].cpu().numpy() for key in ('scores', 'labels', 'bboxes')}
            )
            row['masks'] = EntityMap(ids, len(row['scores'])).rles()
            self.results.append(row)
