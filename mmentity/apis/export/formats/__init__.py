"""Formats of label tools, data sets and features: the file of an image, those of a whole folder.

``ENCODERS`` make the file of one image, ``DATASETS`` join those of all images.
"""

from collections.abc import Callable

from mmentity.apis.export.formats.coco import encode_coco, write_coco
from mmentity.apis.export.formats.cvat import encode_cvat, write_cvat
from mmentity.apis.export.formats.features import encode_features, encode_parquet
from mmentity.apis.export.formats.images import DatasetWriter
from mmentity.apis.export.formats.label_studio import encode_label_studio, write_label_studio
from mmentity.apis.export.formats.labelme import encode_labelme
from mmentity.apis.export.formats.panoptic import encode_panoptic, write_panoptic
from mmentity.apis.export.numbering import NumberedResult
from mmentity.apis.export.options import OutputOptions

# of the entities, the options, and the folder of the file
Encoder = Callable[[NumberedResult, OutputOptions, str], bytes]

ENCODERS: dict[str, Encoder] = {
    'coco': lambda numbered, options, _: encode_coco(numbered, options.polygons),
    'panoptic': lambda numbered, *_: encode_panoptic(numbered),
    'labelme': lambda numbered, options, folder: encode_labelme(numbered, options.polygons, folder),
    'cvat': lambda numbered, *_: encode_cvat(numbered),
    'features': lambda numbered, *_: encode_features(numbered),
    'parquet': lambda numbered, *_: encode_parquet(numbered),
    'labelstudio': lambda numbered, options, _: encode_label_studio(numbered, options.image_url),
}
DATASETS: dict[str, DatasetWriter] = {
    'coco': write_coco,
    'panoptic': write_panoptic,
    'cvat': write_cvat,
    'labelstudio': write_label_studio,
}

__all__ = ['DATASETS', 'ENCODERS', 'Encoder']
