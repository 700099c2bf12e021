"""Entity segmentation on EntitySeg."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Optional

from mmengine.fileio import exists

from mmentity.datasets.categories import instance_categories, metainfo_of
from mmentity.datasets.entity_dataset import (
    EntityDataset,
    load_annotations,
    make_image_ids_unique,
)
from mmentity.registry import DATASETS


@DATASETS.register_module()
class EntitySegDataset(EntityDataset):
    """EntitySeg's entity annotations: COCO instance json with RLE masks.

    Every annotation is one entity, whatever its category; categories are kept
    by id (``category_id``), since names repeat. Image ids repeat across the
    three folders of the data: where several annotation files do, pictures are
    numbered anew. Of the two families of file names
    (``entityv2_010203_entity_train.json`` and ``entityseg_train.json``), the
    other one is taken where the one asked for does not exist.

    The data is for non-commercial use only; see its own licence.

    Args:
        ann_file: Annotation file, or several, relative to ``data_root``.
        data_root: Folder of EntitySeg.
        data_prefix: ``img``: where the ``file_name`` of a picture begins,
            ``images/`` or ``images_lr/``.
        **kwargs: As in :class:`EntityDataset`.

    Raises:
        FileNotFoundError: If an annotation file exists under neither name.
        ValueError: If an annotation file is damaged or of another task.

    Examples:
        >>> dataset = EntitySegDataset(
        ...     data_root='data/entityseg',
        ...     ann_file='annotations/entity_segmentation/entityv2_01_entity_val.json',
        ...     data_prefix={'img': 'images/'},
        ... )
        >>> info = dataset.get_data_info(0)
    """

    def load_data_list(self) -> list:
        """Load the pictures and annotations of all files."""
        data_list = []
        for ann_file in self.ann_files:
            data_list += self._load_file(_existing_name(ann_file, self.backend_args))
        make_image_ids_unique(data_list)
        return data_list

    def _load_file(self, ann_file: str) -> list:
        content = load_annotations(ann_file, ('images', 'annotations'), self.backend_args)
        by_image = defaultdict(list)
        for annotation in content['annotations']:
            instance = self._instance(annotation)
            instance['bbox_label'] = self.label_of(
                annotation['category_id'], ann_file, annotation['image_id']
            )
            by_image[annotation['image_id']].append(instance)
        return [
            {
                'img_id': image['id'],
                'img_path': str(Path(self.data_prefix.get('img', '')) / image['file_name']),
                'height': image['height'],
                'width': image['width'],
                'instances': by_image[image['id']],
            }
            for image in content['images']
        ]

    @staticmethod
    def _instance(annotation: dict) -> dict:
        instance = {
            'mask': annotation['segmentation'],
            'category_id': annotation['category_id'],
            'ignore_flag': int(annotation.get('iscrowd', 0)),
        }
        if 'area' in annotation:
            instance['area'] = annotation['area']
        if 'bbox' in annotation:
            x, y, width, height = annotation['bbox']
            instance['bbox'] = [x, y, x + width, y + height]
        return instance


@DATASETS.register_module()
class EntitySegInstanceDataset(EntitySegDataset):
    """EntitySeg's instance annotations: COCO json, 206 thing classes.

    Categories are matched by id. Runs in mmdet too: the samples have what its
    ``LoadAnnotations(with_bbox=True, with_mask=True)`` reads. Score it with
    :class:`mmentity.evaluation.EntitySegInstanceMetric`.

    The data is for non-commercial use only; see its own licence.

    Args:
        ann_file: Annotation file, or several, relative to ``data_root``.
        data_prefix: ``img``: folder of the pictures; the task uses
            ``images/entity_01_11580/``.
        **kwargs: As in :class:`EntityDataset`.

    Raises:
        FileNotFoundError: If an annotation file does not exist.
        ValueError: If an annotation file is damaged, of another task, or has a
            category outside the table.
    """

    METAINFO = metainfo_of(instance_categories())


def _existing_name(ann_file: str, backend_args: Optional[dict]) -> str:
    """Return the file, or the same one in the other family of names."""
    if exists(ann_file, backend_args):
        return ann_file
    other = other_family_name(Path(ann_file).name)
    other = str(Path(ann_file).with_name(other)) if other else None
    return other if other and exists(other, backend_args) else ann_file


def other_family_name(name: str) -> Optional[str]:
    """Translate an annotation file name between the two families of the release.

    Returns:
        The other name, or None where there is none.

    Examples:
        >>> other_family_name('entityv2_010203_entity_val_lr.json')
        'entityseg_val_lr.json'
        >>> other_family_name('entityseg_train_02.json')
        'entityv2_02_entity_train.json'
    """
    match = re.fullmatch(r'entityv2_(01|02|03|010203)_entity_(train|val)(_lr)?\.json', name)
    if match:
        folder, split, lr = match.groups(default='')
        return f'entityseg_{split}{"" if folder == "010203" else "_" + folder}{lr}.json'
    match = re.fullmatch(r'entityseg_(train|val)(?:_(01|02|03))?(_lr)?\.json', name)
    if match:
        split, folder, lr = match.groups(default='')
        return f'entityv2_{folder or "010203"}_entity_{split}{lr}.json'
    return None
