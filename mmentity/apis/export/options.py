"""What a run writes, and how it goes through its images."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Optional

from mmentity.apis.cutouts import BACKGROUNDS, check_crop_options
from mmentity.apis.export.layout import DEFAULT, build_patterns
from mmentity.apis.result import ORDERS

# those that hold features
FEATURE_FORMATS = ('features', 'parquet')
FORMATS = (
    'idmap',
    'rle',
    'npz',
    'overlay',
    'cutout',
    'features',
    'parquet',
    'coco',
    'panoptic',
    'labelme',
    'cvat',
    'labelstudio',
)
# those that show the file of an image, which is not resized
SHOW_IMAGE_FILES = ('labelme', 'cvat', 'labelstudio')
WITH_POLYGONS = ('coco', 'labelme')
LOCAL_FILES = '/data/local-files/?d='
IDS = ('dense', 'rank')
ID_DTYPES = ('auto', 'uint8', 'uint16')
CUTOUT_BACKGROUNDS = ('transparent', *BACKGROUNDS)
DRAWN = ('fill', 'contours', 'ids', 'scores', 'names', 'legend', 'side-by-side')


@dataclass(frozen=True)
class OutputOptions:
    """What is written for each image.

    Attributes:
        formats: Some of ``FORMATS``.
        score_thr: Entities of a lower score are not written, 0..1.
        min_area: Entities of fewer pixels (at the written size) are not written.
        split_components: Whether connected parts of an entity are entities of their own, with its
            score; thresholds are those of the parts.
        split_gap: Parts of an entity that are at most this share of height + width apart stay
            together, 0..1; parts below ``min_area`` do not count for that.
        order: Order of the ids: ``'score'``, ``'area'`` or ``'position'``.
        reverse: Whether to reverse the order.
        ids: ``'dense'`` numbers the written entities 1..K; ``'rank'`` keeps the
            rank of an entity among all predicted ones, so that ids do not change
            with the thresholds.
        id_dtype: Type of id maps; ``'auto'`` is uint8 where the ids fit, uint16
            where they do not.
        size: Height and width in px of what is written; by default the image's.
        resize_first: Whether the image itself is resized, by nearest neighbour,
            before the network sees it, instead of the map after it.
        max_side: Longest side in px of what the network and its result see; a longer image is
            shrunk, and the map resized back, see :class:`mmentity.apis.inferencer.LoadOptions`.
        drawn: What overlays show, some of ``DRAWN``.
        cutout_background: ``'transparent'`` cuts an entity out as large as its box; the others make
            squares of one size, see :func:`mmentity.apis.cutouts.entity_crops`.
        cutout_pad: Room around the box in such a square, as a share of its longer side;
            0.1 by default.
        cutout_size: Side of these squares in px; 224 by default.
        sheet: Whether to write a contact sheet.
        npz_key: Name of the map in npz files.
        npz_tables: Whether npz files hold scores, boxes, areas and ids too.
        layout: Pattern of the path of the first format below the output folder, see
            :mod:`.layout`; one with ``{format}`` is that of all formats.
        beside: Pattern with ``{format}`` of the other formats; by default they go
            into a folder of each format, and there as ``layout`` says.
        sequence: Name of the sequence; by default that of its folder.
        polygons: Whether coco and labelme have polygons along the borders of pixels
            instead of masks.
        image_url: What addresses of images in labelstudio begin with; by default those of
            its local files, below the folder that it serves.

    Raises:
        ValueError: If a value is none of the above.
    """

    formats: tuple[str, ...] = ('idmap',)
    score_thr: float = 0.5
    min_area: int = 1
    split_components: bool = False
    split_gap: float = 0.0
    order: str = 'score'
    reverse: bool = False
    ids: str = 'dense'
    id_dtype: str = 'auto'
    size: Optional[tuple[int, int]] = None
    resize_first: bool = False
    max_side: Optional[int] = None
    drawn: tuple[str, ...] = ('fill', 'contours')
    cutout_background: str = 'transparent'
    cutout_pad: Optional[float] = None
    cutout_size: Optional[int] = None
    sheet: bool = False
    npz_key: str = 'entity_map'
    npz_tables: bool = True
    layout: str = DEFAULT
    beside: str = ''
    sequence: Optional[str] = None
    polygons: bool = False
    image_url: str = LOCAL_FILES

    def __post_init__(self) -> None:
        for name in self.formats:
            _check_choice('format', name, FORMATS)
        for name in self.drawn:
            _check_choice('draw', name, DRAWN)
        _check_choice('order', self.order, ORDERS)
        _check_choice('ids', self.ids, IDS)
        _check_choice('id-dtype', self.id_dtype, ID_DTYPES)
        if not 0 <= self.score_thr <= 1:
            raise ValueError(f'score-thr is {self.score_thr}; scores are in 0..1')
        if self.min_area < 0:
            raise ValueError(f'min-area is {self.min_area}; it is a number of pixels, 0 or more')
        if not 0 <= self.split_gap <= 1:
            raise ValueError(f'split-gap is {self.split_gap}; it is a share of height+width, 0..1')
        if self.split_gap and not self.split_components:
            raise ValueError('split-gap needs split-components, the parts that it keeps together')
        if self.size is not None and min(self.size) < 1:
            raise ValueError(f'resize is {self.size[1]}x{self.size[0]}; both must be at least 1')
        if self.resize_first and self.size is None:
            raise ValueError('resize-first needs resize, the size to which images are resized')
        if self.max_side is not None and self.max_side < 1:
            raise ValueError(f'max-side is {self.max_side}; it is a length in px, at least 1')
        self._check_cutouts()
        if self.sequence is not None and ('/' in self.sequence or self.sequence in ('', '.', '..')):
            raise ValueError(f'sequence is {self.sequence!r}; it is the name of one folder')
        if not self.formats:
            raise ValueError(f'format is empty; name some of {", ".join(FORMATS)}')
        self._check_formats()
        _ = self.patterns  # raises where they are wrong

    def _check_formats(self) -> None:
        shown = [name for name in self.formats if name in SHOW_IMAGE_FILES]
        if shown and self.size is not None:
            raise ValueError(
                f'format {", ".join(shown)} lays the entities over the files of the images, which '
                'resize does not change; drop resize, or write coco, panoptic or idmap'
            )
        for option, is_set, formats in (
            ('polygons', self.polygons, WITH_POLYGONS),
            ('image-url', self.image_url != LOCAL_FILES, ('labelstudio',)),
        ):
            if is_set and set(formats).isdisjoint(self.formats):
                raise ValueError(f'{option} is of the format {" or ".join(formats)}; name it too')

    def _check_cutouts(self) -> None:
        _check_choice('cutout-background', self.cutout_background, CUTOUT_BACKGROUNDS)
        if self.cutout_background != 'transparent':
            check_crop_options(**self.crop_options)
        elif self.cutout_pad is not None or self.cutout_size is not None:
            raise ValueError(
                'cutout-pad and cutout-size are of square cut-outs; name their cutout-background '
                f'too: {", ".join(BACKGROUNDS)}'
            )
        if self.cutout_background != 'transparent' and 'cutout' not in self.formats:
            raise ValueError('cutout-background is of the format cutout; name it too')

    @property
    def crop_options(self) -> dict[str, Any]:
        """Options of :func:`mmentity.apis.cutouts.entity_crops`."""
        return {
            'background': self.cutout_background,
            'pad': 0.1 if self.cutout_pad is None else self.cutout_pad,
            'size': 224 if self.cutout_size is None else self.cutout_size,
        }

    @cached_property
    def patterns(self) -> dict[str, str]:
        """Pattern of the path of each format, and of ``sheet``, ``sheet_image`` and ``sidecar``."""
        return build_patterns(self.formats[0], self.layout, self.beside)

    @property
    def network_size(self) -> Optional[tuple[int, int]]:
        """Height and width in px to which images are resized first, None where they are not."""
        return self.size if self.resize_first else None

    @property
    def needs_features(self) -> bool:
        """Whether something that is written has features of entities."""
        return not set(FEATURE_FORMATS).isdisjoint(self.formats)

    @property
    def needs_image(self) -> bool:
        """Whether something that is written shows the image."""
        return self.sheet or not {'overlay', 'cutout'}.isdisjoint(self.formats)

    def changed(self, **options: Any) -> 'OutputOptions':
        """Return these options with some changed; those of None stay."""
        return replace(self, **{key: value for key, value in options.items() if value is not None})

    def record(self) -> dict[str, Any]:
        """Return plain values, for the manifest."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


@dataclass(frozen=True)
class RunOptions:
    """How a run goes through its images.

    Attributes:
        batch_size: Neighbours of one size that go through the network together.
        workers: Threads that load, and as many that write; 0 does one thing
            after the other.
        every: Take every n-th image of each folder and every n-th frame of each video.
        shard: ``(i, n)``: the i-th of n parts of the images, i in 1..n.
        skip_existing: Whether to skip images whose files exist and are of the same source,
            unchanged since.

    Raises:
        ValueError: If a number is out of range.
    """

    batch_size: int = 1
    workers: int = 2
    every: int = 1
    shard: tuple[int, int] = (1, 1)
    skip_existing: bool = False

    def __post_init__(self) -> None:
        for name, value, lowest in (
            ('batch-size', self.batch_size, 1),
            ('workers', self.workers, 0),
            ('every', self.every, 1),
        ):
            if value < lowest:
                raise ValueError(f'{name} is {value}; it must be at least {lowest}')
        part, parts = self.shard
        if not 1 <= part <= parts:
            raise ValueError(f'shard is {part}/{parts}; the first of n parts is 1/n, the last n/n')


def _check_choice(option: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f'{option} is {value!r}; it must be one of {", ".join(allowed)}')


def read_names(text: str) -> tuple[str, ...]:
    """Read names with commas between them, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(',') if part.strip()))


def read_size(text: str) -> tuple[int, int]:
    """Read WxH as (height, width).

    Raises:
        ValueError: If it is not written so.
    """
    width, _, height = text.lower().partition('x')
    if not (width.isdigit() and height.isdigit()):
        raise ValueError(f'{text!r} is no size; write it as 640x480')
    return int(height), int(width)
