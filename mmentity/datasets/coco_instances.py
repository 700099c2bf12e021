"""Instance annotations: COCO's json with polygons or RLE."""

from collections import defaultdict

from mmentity.datasets.base import (
    EntityDataset,
    load_annotations,
    make_image_ids_unique,
)
from mmentity.registry import DATASETS


@DATASETS.register_module()
class CocoInstanceEntityDataset(EntityDataset):
    """Any COCO instance json, each annotation one entity.

    Masks are polygons or RLE, compressed or not. Crowds are ignored in training
    and in scoring as COCO ignores them. Where masks overlap, each keeps all of
    its pixels. Where several annotation files use the same image ids, pictures
    are numbered anew.

    Args:
        ann_file: Instance json, or several, relative to ``data_root``.
        data_prefix: ``img``: folder of the pictures.
        **kwargs: As in :class:`EntityDataset`.

    Raises:
        FileNotFoundError: If an annotation file does not exist.
        ValueError: If an annotation file is damaged or has no masks.

    Examples:
        >>> dataset = CocoInstanceEntityDataset(
        ...     data_root='data/coco',
        ...     ann_file='annotations/instances_val2017.json',
        ...     data_prefix={'img': 'val2017/'},
        ... )
        >>> info = dataset.get_data_info(0)
    """

    def load_data_list(self) -> list:
        """Load the pictures and annotations of all files."""
        data_list = []
        for ann_file in self.ann_files:
            data_list += self._load_file(self._find(ann_file))
        make_image_ids_unique(data_list)
        return data_list

    def _load_file(self, ann_file: str) -> list:
        content = load_annotations(ann_file, ('images', 'annotations'), self.backend_args)
        try:
            return self._infos(content, ann_file)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f'annotation file {ann_file} is no COCO instance json: an entry has no or a wrong '
                f'{error}; export it with masks'
            ) from error

    def _infos(self, content: dict, ann_file: str) -> list:
        by_image = defaultdict(list)
        annotations = content['annotations'][::-1]
        content['annotations'].clear()
        while annotations:
            # what has been read is let go, so that memory holds it once
            annotation = annotations.pop()
            instance = self._instance(annotation)
            instance['bbox_label'] = self.label_of(
                annotation['category_id'], ann_file, annotation['image_id']
            )
            by_image[annotation['image_id']].append(instance)
        return [
            {
                'img_id': image['id'],
                'img_path': self.path_of('img', image['file_name'], ann_file),
                'height': image['height'],
                'width': image['width'],
                'instances': by_image[image['id']],
            }
            for image in content['images']
        ]

    def _find(self, ann_file: str) -> str:
        """Return the file to read for one that was asked for."""
        return ann_file

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
