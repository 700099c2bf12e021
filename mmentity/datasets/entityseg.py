"""Entity segmentation on EntitySeg."""

import re
from pathlib import Path
from typing import Optional

from mmengine.fileio import exists

from mmentity.datasets.categories import instance_categories, metainfo_of
from mmentity.datasets.coco_instances import CocoInstanceEntityDataset
from mmentity.registry import DATASETS


@DATASETS.register_module()
class EntitySegDataset(CocoInstanceEntityDataset):
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

    def _find(self, ann_file: str) -> str:
        return _existing_name(ann_file, self.backend_args)


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
