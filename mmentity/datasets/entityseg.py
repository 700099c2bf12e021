"""The four datasets of EntitySeg, which is for non-commercial use only; see its own licence."""

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.fileio import exists

from mmentity.datasets.base import EntityDataset
from mmentity.datasets.categories import (
    instance_categories,
    metainfo_of,
    panoptic_categories,
    semantic_categories,
)
from mmentity.datasets.coco import CocoEntityDataset, CocoInstanceEntityDataset
from mmentity.datasets.errors import SampleError
from mmentity.datasets.layout import other_family_name
from mmentity.registry import DATASETS


@DATASETS.register_module()
class EntitySegDataset(CocoInstanceEntityDataset):
    """EntitySeg's entity annotations: COCO instance json with RLE masks.

    Every annotation is one entity, whatever its category; categories are kept
    by id (``category_id``), since names repeat. Image ids repeat across the
    three folders of the data: where several annotation files do, images are
    numbered anew. Of the two families of file names
    (``entityv2_010203_entity_train.json`` and ``entityseg_train.json``), the
    other one is taken where the one asked for does not exist.

    The data is for non-commercial use only; see its own licence.

    Args:
        ann_file: Annotation file, or several, relative to ``data_root``.
        data_root: Folder of EntitySeg.
        data_prefix: ``img``: where the ``file_name`` of an image begins,
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
        if exists(ann_file, self.backend_args):
            return ann_file
        name = other_family_name(Path(ann_file).name)
        other = str(Path(ann_file).with_name(name)) if name else ''
        return other if other and exists(other, self.backend_args) else ann_file


@DATASETS.register_module()
class EntitySegInstanceDataset(EntitySegDataset):
    """EntitySeg's instance annotations: COCO json, 206 thing classes.

    Categories are matched by id. Runs in mmdet too: the samples have what its
    ``LoadAnnotations(with_bbox=True, with_mask=True)`` reads. Score it with
    :class:`mmentity.evaluation.EntitySegInstanceMetric`. As in mmdet,
    ``metainfo=dict(classes=(...))`` reads some of the classes only, and labels are
    places in that list.

    Args:
        ann_file: Annotation file, or several, relative to ``data_root``.
        data_prefix: ``img``: folder of the images; the task uses
            ``images/entity_01_11580/``.
        **kwargs: As in :class:`EntityDataset`.

    Raises:
        ValueError: As in :class:`EntitySegDataset`, or for a category outside the table.
    """

    METAINFO = metainfo_of(instance_categories())
    has_subsets = True


@DATASETS.register_module()
class EntitySegPanopticDataset(CocoEntityDataset):
    """EntitySeg's panoptic annotations: COCO panoptic json and PNGs, 350 classes.

    Labels 0..278 are things, 279..349 stuff; categories are matched by id. Runs
    in mmdet too: the samples have what its ``LoadPanopticAnnotations`` reads.
    Score it with :class:`mmentity.evaluation.EntitySegPanopticMetric`.

    Args:
        ann_file: Panoptic json, or several, relative to ``data_root``.
        data_prefix: ``img``: folder of the images; the task uses
            ``images/entity_01_11580/``. ``seg``: folder of the PNGs.
        **kwargs: As in :class:`EntityDataset`.

    Raises:
        ValueError: As in :class:`EntitySegDataset`, or for a category outside the table.
    """

    METAINFO = metainfo_of(panoptic_categories())

    def _is_thing(self, label: int) -> bool:
        return self.metainfo['classes'][label] in self._thing_classes

    @cached_property
    def _thing_classes(self) -> frozenset[str]:
        return frozenset(self.metainfo['thing_classes'])


@DATASETS.register_module()
class EntitySegSemanticDataset(EntityDataset):
    """EntitySeg's semantic maps: PNGs of 150 classes, 255 = ignore.

    ``ann_file`` is a text file with an image and its map on each line. Runs in
    mmseg too: the samples have what its ``LoadAnnotations`` reads. Score it with
    ``mmseg.IoUMetric``.

    Args:
        ann_file: ``train.txt`` or ``val.txt``, or several, relative to
            ``data_root``.
        data_prefix: ``img``: folder of the images; the task uses
            ``images/entity_01_11580/``. ``seg``: folder of the maps;
            ``seg_map_path``, mmseg's name for it, works too.
        **kwargs: As in :class:`EntityDataset`; ``filter_cfg`` has no effect, as
            the file does not tell what is in an image.

    Raises:
        FileNotFoundError: If a text file does not exist.
        ValueError: If a line is not a pair.
    """

    METAINFO = metainfo_of(semantic_categories())

    def load_data_list(self) -> list[dict[str, Any]]:
        """Load the pairs of all files."""
        img_key, seg_key = (
            key if key in self.data_prefix else other
            for key, other in (('img', 'img_path'), ('seg', 'seg_map_path'))
        )
        pairs = [(file, pair) for file in self.ann_files for pair in _read_pairs(file)]
        return [
            {
                'img_id': number,
                'img_path': self.path_of(img_key, pair.img, ann_file),
                'seg_map_path': self.path_of(seg_key, pair.seg, ann_file),
                'num_classes': len(self.metainfo['classes']),
                # what mmseg's LoadAnnotations asks for
                'label_map': None,
                'reduce_zero_label': False,
                'seg_fields': [],
            }
            for number, (ann_file, pair) in enumerate(pairs, start=1)
        ]

    def filter_data(self) -> list[dict[str, Any]]:
        """Keep every pair."""
        return self.data_list

    def get_cat_ids(self, idx: int) -> list[int]:
        """Refuse with a NotImplementedError, as only the maps tell the labels."""
        raise NotImplementedError(
            'the list of semantic maps does not tell the classes of an image; '
            'use a sampler that does not balance classes'
        )


class Pair(NamedTuple):
    """One line of a list of semantic maps: an image and its map, each below its folder."""

    img: str
    seg: str


def parse_pair(line: str) -> Pair:
    """Parse one line of a list of semantic maps.

    Raises:
        SampleError: If it does not hold two names.
    """
    names = line.split()
    if len(names) != 2:
        raise SampleError(
            f'is {line[:80]!r}; it must be the name of an image and the name of its map with a '
            'space between',
            'bad-list-line',
        )
    return Pair(*names)


def _read_pairs(path: str) -> list[Pair]:
    if not Path(path).is_file():
        raise FileNotFoundError(f'list {path} does not exist; check data_root and ann_file')
    pairs = []
    for number, line in enumerate(Path(path).read_text(encoding='utf-8').splitlines(), start=1):
        if line.strip():
            try:
                pairs.append(parse_pair(line))
            except SampleError as error:
                raise ValueError(f'line {number} of {path} {error}') from error
    if not pairs:
        raise ValueError(f'list {path} is empty; each line names an image and its map')
    return pairs
