"""What a file of a network says about itself: how images become its input, and results its output.

It travels as json in the metadata of the file, under :data:`KEY`.
"""

import json
from dataclasses import asdict, dataclass, fields
from typing import Optional

# name of the metadata
KEY = 'mmentity'
# raised when a file of this version of mmentity cannot be read by earlier ones
FORMAT = 1


@dataclass(frozen=True)
class GraphInfo:
    """What surrounds the network of one file.

    Attributes:
        config: Name of the config.
        config_sha256: Digest of its model and test pipeline.
        model: Class of the detector.
        classes: Names of the classes.
        num_views: Views of an image, V.
        crop_ratio: Side of a crop over that of the image; None where the image is the only view.
        short_side: Short side that views are resized to, px.
        long_side: Largest long side of views, px.
        height: Height of every padded view, px.
        width: Width of every padded view, px.
        mean: Mean of each channel, RGB, 0..255.
        std: Standard deviation of each channel, RGB.
        max_per_image: Queries of the highest class scores that take part; None for all.
        mask_thr: Probability above which a pixel can belong to a query.
        sigmoid_twice: Whether mask scores are those of the official release.
        half: Whether weights are stored in float16.
        task: What the file predicts.
        made_by: Version of mmentity that wrote it.
        format: Version of this table.
    """

    config: str
    config_sha256: str
    model: str
    classes: tuple[str, ...]
    num_views: int
    crop_ratio: Optional[float]
    short_side: int
    long_side: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    max_per_image: Optional[int]
    mask_thr: float
    sigmoid_twice: bool
    half: bool
    task: str
    made_by: str
    format: int = FORMAT

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every padded view, px."""
        return self.height, self.width

    def to_json(self) -> str:
        """Write the table as the metadata of a file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str, path: str) -> 'GraphInfo':
        """Read the metadata of a file.

        Args:
            text: The metadata.
            path: The file, for the error message.

        Raises:
            ValueError: If it is damaged, or of a later version of mmentity.
        """
        try:
            values = json.loads(text)
            version = int(values['format'])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f'{path} has damaged metadata of mmentity ({error}); export it again'
            ) from error
        if version > FORMAT:
            raise ValueError(
                f'{path} was exported by mmentity {values.get("made_by")}, which writes metadata '
                f'of version {version}; this one reads up to {FORMAT}: update mmentity, or export '
                'the file again'
            )
        names = {field.name for field in fields(cls)}
        if set(values) != names:
            different = ', '.join(sorted(names.symmetric_difference(values)))
            raise ValueError(f'{path} has damaged metadata of mmentity ({different}); export again')
        tuples = {key: tuple(v) for key, v in values.items() if isinstance(v, list)}
        return cls(**{**values, **tuples})
