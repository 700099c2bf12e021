"""COCO's annotations, instance or panoptic, read as entities."""

from collections import defaultdict
from pathlib import PurePosixPath
from typing import Any

from mmentity.datasets.base import EntityDataset, load_annotations, make_image_ids_unique
from mmentity.datasets.rules import check_instance, naming_sample
from mmentity.registry import DATASETS


@DATASETS.register_module()
class CocoInstanceEntityDataset(EntityDataset):
    """Any COCO instance json, each annotation one entity.

    Masks are polygons or RLE, compressed or not. Crowds are ignored in training
    and in scoring as COCO ignores them. Where masks overlap, each keeps all of
    its pixels. Where several annotation files use the same image ids, images
    are numbered anew.

    Args:
        ann_file: Instance json, or several, relative to ``data_root``.
        data_prefix: ``img``: folder of the images.
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

    def load_data_list(self) -> list[dict[str, Any]]:
        """Load the images and annotations of all files."""
        data_list: list[dict[str, Any]] = []
        for ann_file in map(self._find, self.ann_files):
            content = load_annotations(ann_file, ('images', 'annotations'), self.backend_args)
            try:
                data_list += self._infos(content, ann_file)
            except (KeyError, TypeError) as error:
                raise ValueError(
                    f'annotation file {ann_file} is not a COCO instance json: an entry has no or '
                    f'a wrong {error}; export it with masks'
                ) from error
        make_image_ids_unique(data_list)
        return data_list

    def prepare_data(self, idx: int) -> Any:
        """Load one sample, mmdet's loaders included, which would not say what is wrong.

        Raises:
            SampleError: If a mask is no COCO segmentation of its image.
        """
        info = self.get_data_info(idx)
        with naming_sample(info):
            for instance in info['instances']:
                check_instance(instance, (info['height'], info['width']))
        return self.pipeline(info)

    def _infos(self, content: dict[str, Any], ann_file: str) -> list[dict[str, Any]]:
        by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
        annotations = content['annotations'][::-1]
        content['annotations'].clear()
        while annotations:
            # frees what has been read, so that memory holds it once
            annotation = annotations.pop()
            if not self.is_chosen(annotation['category_id']):
                continue
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
    def _instance(annotation: dict[str, Any]) -> dict[str, Any]:
        instance = {
            'mask': annotation['segmentation'],
            'category_id': annotation['category_id'],
            'ignore_flag': int(annotation.get('iscrowd', 0)),
        }
        if 'id' in annotation:
            instance['id'] = annotation['id']
        if 'area' in annotation:
            instance['area'] = annotation['area']
        if 'bbox' in annotation:
            x, y, width, height = annotation['bbox']
            instance['bbox'] = [x, y, x + width, y + height]
        return instance


@DATASETS.register_module()
class CocoEntityDataset(EntityDataset):
    """COCO panoptic json and PNGs, each segment one entity.

    Thing and stuff segments alike are entities of one class; crowd segments
    are ignored in training and in scoring as COCO ignores crowds.

    Args:
        ann_file: Panoptic json, or several, relative to ``data_root``.
        data_prefix: ``img``: folder of the images, ``seg``: of the PNGs.
        **kwargs: As in :class:`EntityDataset`.

    Raises:
        FileNotFoundError: If an annotation file does not exist.
        ValueError: If an annotation file is damaged or of another task.
    """

    def load_data_list(self) -> list[dict[str, Any]]:
        """Load the images and segments of all files."""
        data_list = []
        for ann_file in self.ann_files:
            content = load_annotations(ann_file, ('images', 'annotations'), self.backend_args)
            images = {image['id']: image for image in content['images']}
            for annotation in content['annotations']:
                image_id = annotation['image_id']
                if 'segments_info' not in annotation:
                    raise ValueError(
                        f'annotation file {ann_file} has no segments_info for image '
                        f'{image_id}; it is not a COCO panoptic file'
                    )
                if image_id not in images:
                    raise ValueError(
                        f'annotation file {ann_file} annotates image {image_id}, which is not '
                        'among its images; add it or delete the annotation'
                    )
                data_list.append(self._info(images[image_id], annotation, ann_file))
        return data_list

    def _info(
        self, image: dict[str, Any], annotation: dict[str, Any], ann_file: str
    ) -> dict[str, Any]:
        # the file name is that of the PNG in COCO and that of the image in EntitySeg
        seg_map = str(PurePosixPath(annotation['file_name']).with_suffix('.png'))
        segments = [
            self._segment(segment, ann_file, image['id']) for segment in annotation['segments_info']
        ]
        return {
            'img_id': image['id'],
            'img_path': self.path_of('img', image['file_name'], ann_file),
            'seg_map_path': self.path_of('seg', seg_map, ann_file),
            'height': image['height'],
            'width': image['width'],
            'segments_info': segments,
            'instances': [
                _instance_of(segment, image) for segment in segments if segment['is_thing']
            ],
        }

    def _segment(self, segment: dict[str, Any], ann_file: str, image_id: int) -> dict[str, Any]:
        label = self.label_of(segment['category_id'], ann_file, image_id)
        iscrowd = bool(segment.get('iscrowd', 0))
        return {
            'id': segment['id'],
            'category': label,
            'category_id': segment['category_id'],
            # OpenMMLab takes crowds for neither things to match nor stuff
            'is_thing': self._is_thing(label) and not iscrowd,
            'iscrowd': iscrowd,
            'area': segment['area'],
            'bbox': segment.get('bbox'),
        }

    def _is_thing(self, label: int) -> bool:
        return True


def _instance_of(segment: dict[str, Any], image: dict[str, Any]) -> dict[str, Any]:
    """Make what mmdet reads of a thing besides its pixels."""
    # without a box in the json that of the image: too large is safe where boxes only tell
    # what a crop may have cut off
    x, y, width, height = segment['bbox'] or (0, 0, image['width'], image['height'])
    return {
        'bbox_label': segment['category'],
        'bbox': [x, y, x + width, y + height],
        'ignore_flag': 0,
    }
