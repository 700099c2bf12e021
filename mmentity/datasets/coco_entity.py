"""COCO's panoptic annotations read as entities."""

from pathlib import Path

from mmentity.datasets.entity_dataset import EntityDataset, load_annotations
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
            content = load_annotations(ann_file, ('images', 'annotations'))
            images = {image['id']: image for image in content['images']}
            for annotation in content['annotations']:
                if 'segments_info' not in annotation:
                    raise ValueError(
                        f'annotation file {ann_file} has no segments_info for image '
                        f'{annotation["image_id"]}; it is not a COCO panoptic file'
                    )
                data_list.append(self._info(images[annotation['image_id']], annotation))
        return data_list

    def _info(self, image: dict, annotation: dict) -> dict:
        return {
            'img_id': image['id'],
            'img_path': str(Path(self.data_prefix.get('img', '')) / image['file_name']),
            'seg_map_path': str(Path(self.data_prefix.get('seg', '')) / annotation['file_name']),
            'height': image['height'],
            'width': image['width'],
            'instances': [
                {
                    'segment_id': segment['id'],
                    'bbox_label': 0,
                    'category_id': segment['category_id'],
                    'ignore_flag': int(segment.get('iscrowd', 0)),
                    'area': segment['area'],
                }
                for segment in annotation['segments_info']
            ],
        }
