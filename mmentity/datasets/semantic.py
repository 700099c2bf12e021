"""Semantic segmentation on EntitySeg."""

from pathlib import Path

from mmentity.datasets.base import EntityDataset
from mmentity.datasets.categories import metainfo_of, semantic_categories
from mmentity.registry import DATASETS


@DATASETS.register_module()
class EntitySegSemanticDataset(EntityDataset):
    """EntitySeg's semantic maps: PNGs of 150 classes, 255 = ignore.

    ``ann_file`` is a text file with a picture and its map on each line. Runs in
    mmseg too: the samples have what its ``LoadAnnotations`` reads. Score it with
    ``mmseg.IoUMetric``.

    The data is for non-commercial use only; see its own licence.

    Args:
        ann_file: ``train.txt`` or ``val.txt``, or several, relative to
            ``data_root``.
        data_prefix: ``img``: folder of the pictures; the task uses
            ``images/entity_01_11580/``. ``seg``: folder of the maps;
            ``seg_map_path``, mmseg's name for it, works too.
        **kwargs: As in :class:`EntityDataset`; ``filter_cfg`` has no effect, as
            the file does not tell what is in a picture.

    Raises:
        FileNotFoundError: If a text file does not exist.
        ValueError: If a line is not a pair.
    """

    METAINFO = metainfo_of(semantic_categories())

    def load_data_list(self) -> list:
        """Load the pairs of all files."""
        img_key, seg_key = (
            key if key in self.data_prefix else other
            for key, other in (('img', 'img_path'), ('seg', 'seg_map_path'))
        )
        pairs = [
            (self.path_of(img_key, img, ann_file), self.path_of(seg_key, seg_map, ann_file))
            for ann_file in self.ann_files
            for img, seg_map in _read_pairs(ann_file)
        ]
        return [
            {
                'img_id': number,
                'img_path': img,
                'seg_map_path': seg_map,
                'num_classes': len(self.metainfo['classes']),
                # what mmseg's LoadAnnotations asks for
                'label_map': None,
                'reduce_zero_label': False,
                'seg_fields': [],
            }
            for number, (img, seg_map) in enumerate(pairs, start=1)
        ]

    def filter_data(self) -> list:
        """Keep every pair."""
        return self.data_list

    def get_cat_ids(self, idx: int) -> list:
        """Not known without reading the maps.

        Raises:
            NotImplementedError: Always; class-balanced samplers need the
                instance or panoptic annotations.
        """
        raise NotImplementedError(
            'the list of semantic maps does not tell the classes of a picture; '
            'use a sampler that does not balance classes'
        )


def _read_pairs(path: str) -> list:
    if not Path(path).is_file():
        raise FileNotFoundError(f'list {path} does not exist; check data_root and ann_file')
    pairs = []
    for number, line in enumerate(Path(path).read_text(encoding='utf-8').splitlines(), start=1):
        names = line.split()
        if not names:
            continue
        if len(names) != 2:
            raise ValueError(
                f'line {number} of {path} is {line!r}; it must be the name of a picture and the '
                'name of its map with a space between'
            )
        pairs.append(tuple(names))
    if not pairs:
        raise ValueError(f'list {path} is empty; each line names a picture and its map')
    return pairs
