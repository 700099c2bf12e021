"""Panoptic annotations: COCO's json and PNGs."""

from functools import cached_property
from pathlib import PurePosixPath

from mmentity.datasets.base import EntityDataset, load_annotations
from mmentity.datasets.categories import metainfo_of, panoptic_categories
from mmentity.registry import DATASETS


@DATASETS.register_module()
class CocoEntityDataset(EntityDataset):
    """COCO panoptic json and PNGs, each segment one entity.

    Thing and stuff segments alike are entities of one class; crowd segments
    are ignored in training and in scoring as COCO ignores crowds.

    Args:
        ann_file: Panoptic json, or several, relative to ``data_root``.
        data_prefix: ``img``: folder of the pictures, ``seg``: of the PNGs.
        **kwargs: As in :class:`EntityDataset`.

    Raises:
        FileNotFoundError: If an annotation file does not exist.
        ValueError: If an annotation file is damaged or of another task.
    """

    def load_data_list(self) -> list:
        """Load the pictures and segments of all files."""
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

    def _info(self, image: dict, annotation: dict, ann_file: str) -> dict:
        # the file name is that of the PNG in COCO and that of the picture in EntitySeg
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

    def _segment(self, segment: dict, ann_file: str, image_id: int) -> dict:
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


@DATASETS.register_module()
class EntitySegPanopticDataset(CocoEntityDataset):
    """EntitySeg's panoptic annotations: COCO panoptic json and PNGs, 350 classes.

    Labels 0..278 are things, 279..349 stuff; categories are matched by id. Runs
    in mmdet too: the samples have what its ``LoadPanopticAnnotations`` reads.
    Score it with :class:`mmentity.evaluation.EntitySegPanopticMetric`.

    The data is for non-commercial use only; see its own licence.

    Args:
        ann_file: Panoptic json, or several, relative to ``data_root``.
        data_prefix: ``img``: folder of the pictures; the task uses
            ``images/entity_01_11580/``. ``seg``: folder of the PNGs.
        **kwargs: As in :class:`EntityDataset`.

    Raises:
        FileNotFoundError: If an annotation file does not exist.
        ValueError: If an annotation file is damaged, of another task, or has a
            category outside the table.
    """

    METAINFO = metainfo_of(panoptic_categories())

    def _is_thing(self, label: int) -> bool:
        return self.metainfo['classes'][label] in self._thing_classes

    @cached_property
    def _thing_classes(self) -> frozenset:
        return frozenset(self.metainfo['thing_classes'])


def _instance_of(segment: dict, image: dict) -> dict:
    """What mmdet reads of a thing besides its pixels."""
    # a json without boxes gives the box of the picture: too large is safe where boxes only
    # tell what a crop may have lost
    x, y, width, height = segment['bbox'] or (0, 0, image['width'], image['height'])
    return {
        'bbox_label': segment['category'],
        'bbox': [x, y, x + width, y + height],
        'ignore_flag': 0,
    }
