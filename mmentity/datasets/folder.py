"""A folder of images and a folder of id maps."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np
from PIL import Image

from mmentity.datasets.base import EntityDataset
from mmentity.datasets.map_index import MapIndex
from mmentity.datasets.paths import files_below
from mmentity.datasets.rules import decoding
from mmentity.registry import DATASETS
from mmentity.structures.id_map import entity_ids, read_id_map
from mmentity.utils.files import IMAGE_SUFFIXES

MAP_SUFFIXES = ('.png', '.tif', '.tiff', '.bmp')


@DATASETS.register_module()
class EntityFolderDataset(EntityDataset):
    """A folder of images and a folder of id maps of the same names.

    The map of ``a/b.jpg`` is ``a/b.png``. Pixels of one value are one entity; 0
    is no entity. Maps have 8 or 16 bit, a palette, or COCO panoptic colours
    (id = R + 256 G + 65536 B).

    Args:
        ann_file: Text file with the names of the images to use, one on each
            line and with their suffixes, such as the training half; by default
            all images.
        data_root: Folder that holds both folders.
        data_prefix: ``img``: folder of the images, ``seg``: of the maps.
        map_kind: ``'ids'``, ``'colours'``, or ``'auto'``: colours where the map
            is RGB.
        no_entity_ids: Further values that are no entity, such as 255.
        **kwargs: As in :class:`EntityDataset`. ``filter_empty_gt`` reads every
            map at the first start; what is in them is kept beside the folder of
            the maps, see :class:`mmentity.datasets.map_index.MapIndex`.

    Raises:
        FileNotFoundError: If a folder or list does not exist.
        ValueError: If images have no map, or a list names what is not there.

    Examples:
        >>> dataset = EntityFolderDataset(
        ...     data_root='data/mine', data_prefix={'img': 'images/', 'seg': 'maps/'}
        ... )
        >>> info = dataset.get_data_info(0)
    """

    def __init__(
        self,
        ann_file: str = '',
        *args: Any,
        map_kind: str = 'auto',
        no_entity_ids: Sequence[int] = (),
        **kwargs: Any,
    ) -> None:
        if map_kind not in ('auto', 'ids', 'colours'):
            raise ValueError(f"map_kind is {map_kind!r}; it must be 'auto', 'ids' or 'colours'")
        self.map_kind = map_kind
        self.no_entity_ids = tuple(no_entity_ids)
        super().__init__(ann_file, *args, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Pair images and maps, and read their sizes."""
        img_dir, seg_dir = (Path(self.data_prefix.get(key, '')) for key in ('img', 'seg'))
        for folder, key in ((img_dir, 'img'), (seg_dir, 'seg')):
            if not folder.is_dir():
                raise FileNotFoundError(
                    f'{folder} is not a folder; check data_root and data_prefix[{key!r}]'
                )
        if img_dir == seg_dir:
            raise ValueError(
                f'images and maps are both in {img_dir}; give each a folder of its own'
            )
        names = sorted(self._names(img_dir))
        found = [(img_dir / name, _map_of(seg_dir, name)) for name in names]
        without_map = [img for img, seg_map in found if seg_map is None]
        if without_map:
            raise ValueError(
                f'{len(without_map)} of {len(found)} images have no map of the same name in '
                f'{seg_dir}, the first is {without_map[0]}; add the maps, or list the images to '
                'use in ann_file'
            )
        pairs = [(img, seg_map) for img, seg_map in found if seg_map is not None]
        filters = not self.test_mode and (self.filter_cfg or {}).get('filter_empty_gt', False)
        index = MapIndex(seg_dir, self.map_kind, self.no_entity_ids)
        map_names = [str(seg_map.relative_to(seg_dir)) for _, seg_map in pairs]
        facts = index.facts(map_names, count=filters)
        return [
            {
                'img_id': number,
                'img_path': str(img),
                'id_map_path': str(seg_map),
                'map_kind': self.map_kind,
                'no_entity_ids': self.no_entity_ids,
                'height': fact.height,
                'width': fact.width,
                'num_entities': fact.num_entities,
            }
            for number, ((img, seg_map), fact) in enumerate(zip(pairs, facts), start=1)
        ]

    def _names(self, img_dir: Path) -> Iterator[str]:
        if not self.ann_files:
            for path in files_below(img_dir):
                if path.suffix.lower() in IMAGE_SUFFIXES:
                    yield path.relative_to(img_dir).as_posix()
            return
        for ann_file in self.ann_files:
            if not Path(ann_file).is_file():
                raise FileNotFoundError(
                    f'list {ann_file} does not exist; check data_root and ann_file'
                )
            for line in Path(ann_file).read_text(encoding='utf-8').splitlines():
                if not line.strip():
                    continue
                name = line.strip()
                if not Path(self.path_of('img', name, ann_file)).is_file():
                    raise ValueError(
                        f'{ann_file} lists {name!r}, which is not in {img_dir}; '
                        'give names with their suffixes, below that folder'
                    )
                yield name

    def get_cat_ids(self, idx: int) -> list[int]:
        """List the labels of the entities of one image; reads its map."""
        info = self.get_data_info(idx)
        if info['num_entities'] is None:
            return [0] * len(entity_ids(load_id_map(info), info['no_entity_ids']))
        return [0] * info['num_entities']

    @staticmethod
    def _num_entities(info: dict[str, Any]) -> int:
        # of a map that cannot be read, so that the error is reported when it is loaded
        return 1 if info['num_entities'] is None else info['num_entities']


def load_id_map(info: dict[str, Any]) -> np.ndarray:
    """Read the id map of one image of :class:`EntityFolderDataset`.

    Returns:
        int32 ``(H, W)``.

    Raises:
        SampleError: If it cannot be read.
    """
    path = info['id_map_path']
    with decoding('bad-map', f'{path} cannot be read as ids'), Image.open(path) as image:
        return read_id_map(image, info['map_kind'])


def _map_of(seg_dir: Path, name: str) -> Optional[Path]:
    """Return the map of an image, or None."""
    for suffix in MAP_SUFFIXES:
        path = (seg_dir / name).with_suffix(suffix)
        if path.is_file():
            return path
    return None
