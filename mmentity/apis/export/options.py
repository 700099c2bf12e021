"""What a run writes, and the presets of projects that read it."""

from dataclasses import asdict, dataclass, field, replace
from typing import Optional

from mmentity.apis.result import ORDERS

FORMATS = ('idmap', 'rle', 'npz', 'overlay', 'cutout')
IDS = ('dense', 'rank')
ID_DTYPES = ('auto', 'uint8', 'uint16')
DRAWN = ('fill', 'contours', 'ids', 'scores', 'legend', 'side-by-side')

LAYOUT = {
    'idmap': 'idmap/{name}.png',
    'rle': 'rle/{name}.json',
    'npz': 'npz/{name}.npz',
    'overlay': 'overlay/{name}.jpg',
    'cutout': 'cutout/{name}',
    'sheet': 'contact_sheet/entities/{name}.jpg',
    'sheet_picture': 'contact_sheet/pictures/{name}.jpg',
    'sidecar': 'entities/{name}.json',
}


def _one_of(what: str, value: str, allowed: tuple) -> None:
    if value not in allowed:
        raise ValueError(f'{what} is {value!r}; it must be one of {", ".join(allowed)}')


@dataclass(frozen=True)
class OutputOptions:
    """What is written for each picture.

    Attributes:
        formats: Some of ``FORMATS``.
        score_thr: Entities of a lower score are left out, 0..1.
        min_area: Entities of fewer pixels (at the written size) are left out.
        order: What the ids count: ``'score'``, ``'area'`` or ``'position'``.
        reverse: Whether to count from the other end.
        ids: ``'dense'`` numbers the entities that are left 1..K; ``'rank'`` keeps
            the place that an entity has among all predicted ones, so ids do not
            change with the thresholds.
        id_dtype: Type of id maps; ``'auto'`` is uint8 where the ids fit, uint16
            where they do not.
        size: Height and width of what is written; that of the picture by default.
        resize_first: Whether the picture itself is resized, by nearest neighbour,
            before the network sees it, instead of the map after it.
        drawn: What overlays show, some of ``DRAWN``.
        sheet: Whether to write a contact sheet.
        npz_key: Name of the map in npz files.
        npz_tables: Whether npz files hold scores, boxes, areas and ids too.
        layout: Where each format goes below the output folder; ``{name}``,
            ``{sequence}``, ``{frame}`` and ``{stem}`` are filled in.
        sequence: Name in place of the one that is read off the folders.

    Raises:
        ValueError: If a value is none of the above.
    """

    formats: tuple = ('idmap',)
    score_thr: float = 0.5
    min_area: int = 1
    order: str = 'score'
    reverse: bool = False
    ids: str = 'dense'
    id_dtype: str = 'auto'
    size: Optional[tuple] = None
    resize_first: bool = False
    drawn: tuple = ('fill', 'contours')
    sheet: bool = False
    npz_key: str = 'entity_map'
    npz_tables: bool = True
    layout: dict = field(default_factory=LAYOUT.copy)
    sequence: Optional[str] = None

    def __post_init__(self) -> None:
        for name in self.formats:
            _one_of('format', name, FORMATS)
        for name in self.drawn:
            _one_of('draw', name, DRAWN)
        _one_of('order', self.order, ORDERS)
        _one_of('ids', self.ids, IDS)
        _one_of('id-dtype', self.id_dtype, ID_DTYPES)
        if not 0 <= self.score_thr <= 1:
            raise ValueError(f'score-thr is {self.score_thr}; scores are in 0..1')
        if self.min_area < 0:
            raise ValueError(f'min-area is {self.min_area}; it is a number of pixels, 0 or more')
        if self.size is not None and min(self.size) < 1:
            raise ValueError(f'resize is {self.size[1]}x{self.size[0]}; both must be at least 1')
        if self.resize_first and self.size is None:
            raise ValueError('resize-first needs resize, the size to which pictures are brought')

    def changed(self, **options) -> 'OutputOptions':
        """Return these options with some changed; those of None stay."""
        return replace(self, **{key: value for key, value in options.items() if value is not None})

    def record(self) -> dict:
        """Return plain values, for the manifest."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


@dataclass(frozen=True)
class RunOptions:
    """How a run goes through its pictures.

    Attributes:
        batch_size: Neighbours of one size that go through the network together.
        workers: Threads that read, and as many that write; 0 does one thing
            after the other.
        every: Take every n-th picture or frame.
        shard: ``(i, n)``: the i-th of n parts of the pictures, i in 1..n.
        skip_existing: Whether to leave out pictures whose files are there.

    Raises:
        ValueError: If a number is out of range.
    """

    batch_size: int = 1
    workers: int = 2
    every: int = 1
    shard: tuple = (1, 1)
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


def _sequence_layout(folder: str) -> dict:
    """Layout of projects that keep each sequence in a folder of its own."""
    names = {
        key: f'{{sequence}}/{folder}' + path.replace('{name}', '{frame}')
        for key, path in LAYOUT.items()
    }
    return {**names, 'idmap': f'{{sequence}}/{folder}mask/{{frame}}.png'}


# As the public scripts of these projects define it, see docs/inference.md.
PRESETS = {
    'maskclustering': OutputOptions(
        score_thr=0.5,
        min_area=400,
        reverse=True,
        id_dtype='uint8',
        layout=_sequence_layout('output/'),
    ),
    'onlineanyseg': OutputOptions(
        score_thr=0.6,
        min_area=500,
        id_dtype='uint8',
        size=(480, 640),
        resize_first=True,
        layout=_sequence_layout(''),
    ),
    'corrclip': OutputOptions(
        formats=('npz',),
        score_thr=0.5,
        npz_key='instance_mask',
        npz_tables=False,
        layout={**LAYOUT, 'npz': '{stem}.npz', 'sidecar': 'entities/{stem}.json'},
    ),
}
