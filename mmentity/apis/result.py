"""The entities of one image, as a user gets them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np
from PIL import Image

from mmentity.apis.class_names import ENTITY, names_of
from mmentity.apis.conversions import Table, fiftyone_detections, supervision_detections
from mmentity.apis.lazy_map import LazyEntityMap
from mmentity.apis.per_entity import EntityFeatures, EntityNames
from mmentity.structures import EntityMap
from mmentity.structures.outlines import outlines
from mmentity.structures.prediction import Prediction

if TYPE_CHECKING:
    import fiftyone
    import supervision
    from mmdet.structures import DetDataSample

ORDERS = ('score', 'area', 'position')


@dataclass(frozen=True, eq=False, repr=False)
class EntityResult:
    """The entities that a model found in one image.

    Row k of every array is entity k + 1 of the map; rows come in descending
    score as long as they have not been put in another :meth:`order`. Filters
    and orders change the rows only; the map follows when it is asked for.

    Attributes:
        name: Name of the image, see :class:`mmentity.apis.inputs.InputImage`.
        lazy_map: The map as the model numbered it, and which entity each row is.
        scores: float32 ``(K,)``, 0..1.
        labels: int64 ``(K,)``, all 0 for models of entities.
        boxes_xyxy_px: int64 ``(K, 4)``, right and bottom exclusive.
        areas: int64 ``(K,)``, px, all positive.
        path: File of the image, where it has one.
        frame: Number of the frame in a video.
        image: The image itself, uint8 RGB ``(H, W, 3)``, where it was kept.
        classes: Names of the classes by label.
        features: A feature for each entity, where the model was asked for them.
        naming: A name for each entity, where one was given.

    Examples:
        >>> result = inferencer.predict('street.jpg').select(score_thr=0.5)
        >>> result.entity_map              # int32 (H, W), 0 = no entity
        >>> result.scores[0], result.masks()[0]
    """

    name: str
    lazy_map: LazyEntityMap
    scores: np.ndarray
    labels: np.ndarray
    boxes_xyxy_px: np.ndarray
    areas: np.ndarray
    path: Optional[str] = None
    frame: Optional[int] = None
    image: Optional[np.ndarray] = None
    classes: Sequence[str] = ENTITY
    features: Optional[EntityFeatures] = None
    naming: Optional[EntityNames] = None

    @classmethod
    def from_sample(cls, sample: 'DetDataSample', name: str = '', **more: Any) -> 'EntityResult':
        """Take over the prediction of a model; queries without a pixel are dropped.

        Args:
            sample: Sample with ``pred_entity_map`` and ``pred_instances``.
            name: Name of the image.
            **more: ``path``, ``frame``, ``image`` and ``classes``.
        """
        return cls.from_prediction(prediction_of(sample), name, **more)

    @classmethod
    def from_prediction(cls, prediction: Prediction, name: str = '', **more: Any) -> 'EntityResult':
        """Take over the arrays of a prediction, as :meth:`from_sample` does."""
        rows = np.flatnonzero(prediction.areas)
        # queries without a pixel have the lowest scores, so that they end the numbering
        largest = int(rows.max(initial=-1)) + 1
        features = None
        if prediction.pooled is not None and prediction.query is not None:
            features = EntityFeatures(prediction.pooled[rows], prediction.query[rows])
        return cls(
            name,
            LazyEntityMap(EntityMap(prediction.ids, largest), rows + 1),
            prediction.scores[rows],
            prediction.labels[rows],
            prediction.boxes_xyxy_px[rows],
            prediction.areas[rows],
            features=features,
            **more,
        )

    def __len__(self) -> int:
        """Return the number of entities."""
        return len(self.scores)

    def __repr__(self) -> str:
        """Name, size and number of entities."""
        size = f'{self.height}x{self.width} px'
        return f'EntityResult({self.name!r}, {size}, {len(self)} entities)'

    @property
    def entities(self) -> EntityMap:
        """The entity map; entity k is row k - 1."""
        entities = self.lazy_map.numbered()
        # it takes the place of the model's map, so that pixels are renumbered once
        object.__setattr__(self, 'lazy_map', LazyEntityMap(entities))
        return entities

    @property
    def entity_map(self) -> np.ndarray:
        """Ids of the pixels, int32 ``(H, W)``: 0 = no entity, k = row k - 1."""
        return self.entities.ids[0]

    @property
    def height(self) -> int:
        """Height of the map in px."""
        return self.lazy_map.source.height

    @property
    def width(self) -> int:
        """Width of the map in px."""
        return self.lazy_map.source.width

    def take(self, rows: Union[np.ndarray, Sequence[int]]) -> 'EntityResult':
        """Keep the given rows and number them from 1 in the given order.

        Args:
            rows: int ``(N,)``, each row at most once.
        """
        rows = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            lazy_map=self.lazy_map.take(rows),
            scores=self.scores[rows],
            labels=self.labels[rows],
            boxes_xyxy_px=self.boxes_xyxy_px[rows],
            areas=self.areas[rows],
            **self._taken(rows),
        )

    def _taken(self, rows: np.ndarray) -> dict[str, Any]:
        """Take rows of what entities have only where it was asked for."""
        others = {'features': self.features, 'naming': self.naming}
        return {k: None if part is None else part.take(rows) for k, part in others.items()}

    def keep(self, score_thr: float = 0.0, min_area: int = 0) -> np.ndarray:
        """Return which entities reach both thresholds, bool ``(K,)``.

        Args:
            score_thr: Lowest score, 0..1.
            min_area: Fewest pixels.
        """
        return (self.scores >= score_thr) & (self.areas >= min_area)

    def select(self, score_thr: float = 0.0, min_area: int = 0) -> 'EntityResult':
        """Drop entities below a threshold and number the others from 1."""
        return self.take(np.flatnonzero(self.keep(score_thr, min_area)))

    def order(self, by: str = 'score', reverse: bool = False) -> np.ndarray:
        """Return the rows in an order, int64 ``(K,)``.

        Args:
            by: ``'score'``, best first; ``'area'``, largest first; ``'position'``,
                by the top, then the left side of the box.
            reverse: Whether to reverse the order.

        Raises:
            ValueError: If there is no such order.
        """
        return order_rows(by, self.scores, self.areas, self.boxes_xyxy_px, reverse)

    def ordered(self, by: str = 'score', reverse: bool = False) -> 'EntityResult':
        """Put the entities in an :meth:`order` and number them from 1."""
        return self.take(self.order(by, reverse))

    def resize(self, height: int, width: int) -> 'EntityResult':
        """Resize the map by nearest neighbour; entities that vanish are dropped."""
        if (height, width) == (self.height, self.width):
            return self
        lazy_map = self.lazy_map.resize(height, width)
        image = self.image
        if image is not None:
            image = np.asarray(
                Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
            )
        resized = replace(
            self,
            lazy_map=lazy_map,
            areas=lazy_map.areas,
            boxes_xyxy_px=lazy_map.boxes_xyxy_px,
            image=image,
        )
        return resized.take(np.flatnonzero(resized.areas))

    def split_components(self, gap_px: float = 0, min_area: int = 0) -> 'EntityResult':
        """Make an entity of each connected part (of eight neighbours) of each entity.

        Parts have score, label, features and name of the whole; those of an entity come one
        after the other, the largest first.

        Args:
            gap_px: Parts of one entity stay together where they are at most this far apart.
            min_area: Parts of fewer pixels do not take part in that; they are not dropped.
        """
        # only here, so that results can be had without SciPy
        from mmentity.structures.components import split_components

        parts, owners = split_components(self.entities, gap_px, min_area)
        return replace(
            self,
            lazy_map=LazyEntityMap(parts),
            scores=self.scores[owners - 1],
            labels=self.labels[owners - 1],
            boxes_xyxy_px=parts.boxes_xyxy_px,
            areas=parts.areas,
            **self._taken(owners - 1),
        )

    def masks(self) -> np.ndarray:
        """Return boolean masks ``(K, H, W)``, K bytes for each pixel."""
        return self.entities.masks()

    def rles(self) -> list[dict[str, Any]]:
        """Return the masks as compressed COCO RLE, with ``counts`` as text."""
        return [{**rle, 'counts': rle['counts'].decode()} for rle in self.entities.rles()]

    def polygons(self) -> list[list[list[float]]]:
        """Return the outlines of each entity as COCO polygons.

        They run along the borders of pixels, one for each connected part, and
        pycocotools makes the very mask of them. A hole is a part of the outline around
        it, see :func:`mmentity.structures.outlines.outlines`.

        Returns:
            For each entity a list of ``[x0, y0, x1, y1, ...]`` in px, never an empty one.
        """
        polygons = []
        for row, box in enumerate(self.boxes_xyxy_px.tolist()):
            x0, y0 = box[:2]
            polygons.append(
                [
                    [float(value) for x, y in line for value in (x + x0, y + y0)]
                    for line in outlines(self.lazy_map.mask(row, box))
                ]
            )
        return polygons

    def class_names(self) -> list[str]:
        """Return the name of the class of each entity, distinct where a table repeats names.

        Raises:
            ValueError: If a label has no class.
        """
        return names_of(self.labels.tolist(), self.classes)

    def to_supervision(self) -> 'supervision.Detections':
        """Return the entities as ``supervision.Detections``, one byte for each entity and pixel.

        Boxes are xyxy in px with right and bottom exclusive; ``data['class_name']`` has the
        names of the classes.

        Raises:
            ImportError: If supervision is not installed.
            ValueError: If a label has no class.

        Examples:
            >>> detections = inferencer.predict('street.jpg').to_supervision()
            >>> detections[detections.area > 400].mask.shape
        """
        return supervision_detections(self._table(), self.masks())

    def to_fiftyone(self) -> 'fiftyone.Detections':
        """Return the entities as ``fiftyone.Detections``, with the mask of each inside its box.

        ``index`` is the id in :attr:`entity_map`, ``confidence`` the score.

        Raises:
            ImportError: If FiftyOne is not installed.
            ValueError: If a label has no class.

        Examples:
            >>> sample = fiftyone.Sample('street.jpg')
            >>> sample['entities'] = inferencer.predict('street.jpg').to_fiftyone()
        """
        boxes = self.boxes_xyxy_px.tolist()
        masks = [self.lazy_map.mask(row, box) for row, box in enumerate(boxes)]
        return fiftyone_detections(self._table(), masks, self.height, self.width)

    def _table(self) -> Table:
        return Table(self.boxes_xyxy_px, self.scores, self.labels, self.class_names())

    def cutouts(self, image: Optional[np.ndarray] = None) -> Iterator[np.ndarray]:
        """Cut each entity out of the image, with the rest of its box transparent.

        Args:
            image: uint8 RGB ``(H, W, 3)``; by default the one that was kept.

        Yields:
            uint8 RGBA ``(h, w, 4)`` of each entity, as large as its box.
        """
        image = self.checked_image(image)
        for row, (x0, y0, x1, y1) in enumerate(self.boxes_xyxy_px.tolist()):
            mask = self.lazy_map.mask(row, (x0, y0, x1, y1))
            yield np.dstack([image[y0:y1, x0:x1], mask.view(np.uint8) * np.uint8(255)])

    def draw(
        self,
        image: Optional[np.ndarray] = None,
        alpha: float = 0.55,
        contours: bool = True,
        texts: Optional[Sequence[str]] = None,
    ) -> Image.Image:
        """Draw the entities over the image.

        Args:
            image: uint8 RGB ``(H, W, 3)``; by default the one that was kept.
            alpha: Share of the colour, 0..1.
            contours: Whether to draw outlines.
            texts: A text for each entity.

        Returns:
            A PIL image.
        """
        from mmentity.visualization.drawing import draw_entities

        drawn = draw_entities(self.checked_image(image), self.entities, alpha, contours, texts)
        return Image.fromarray(drawn)

    def records(self) -> list[dict[str, Any]]:
        """Return a dict of plain numbers for each entity.

        Returns:
            ``id``, ``score``, ``label``, ``box_xyxy`` (px, right and bottom exclusive)
            and ``area`` (px); ``name`` and ``name_score`` where entities have names.
        """
        columns = (self.scores, self.labels, self.boxes_xyxy_px, self.areas)
        records: list[dict[str, Any]] = [
            {
                'id': k,
                'score': round(float(score), 6),
                'label': int(label),
                'box_xyxy': box.tolist(),
                'area': int(area),
            }
            for k, (score, label, box, area) in enumerate(zip(*columns), start=1)
        ]
        if self.naming is not None:
            for record, name, score in zip(records, self.naming.names, self.naming.scores):
                record.update(name=str(name), name_score=round(float(score), 6))
        return records

    def checked_image(self, image: Optional[np.ndarray] = None) -> np.ndarray:
        """Return the given image, by default the kept one, if it has the size of the map.

        Raises:
            ValueError: If it has another size, or none was kept.
        """
        image = self.image if image is None else image
        if image is None:
            raise ValueError(
                f'the image of {self.name!r} was not kept; ask for keep_image=True or give it'
            )
        if image.shape[:2] != (self.height, self.width):
            raise ValueError(
                f'the image is {image.shape[0]}x{image.shape[1]}, its entity map '
                f'{self.height}x{self.width} (height x width)'
            )
        return image


def prediction_of(sample: 'DetDataSample') -> Prediction:
    """Copy the prediction of a model to the host, as arrays.

    Args:
        sample: Sample with ``pred_entity_map`` and ``pred_instances``.
    """
    instances = sample.pred_instances.cpu().numpy()
    return Prediction(
        sample.pred_entity_map.ids.cpu().numpy(),
        instances.scores,
        instances.labels,
        instances.bboxes.astype(np.int64),
        instances.areas,
        instances.get('pooled_features'),
        instances.get('query_features'),
    )


def order_rows(
    by: str,
    scores: np.ndarray,
    areas: np.ndarray,
    boxes_xyxy_px: np.ndarray,
    reverse: bool = False,
) -> np.ndarray:
    """Return the rows of a table of K entities in one of ``ORDERS``, int64 ``(K,)``.

    Raises:
        ValueError: If there is no such order.
    """
    if by == 'score':
        rows = np.argsort(-scores, kind='stable')
    elif by == 'area':
        rows = np.argsort(-areas, kind='stable')
    elif by == 'position':
        rows = np.lexsort((boxes_xyxy_px[:, 0], boxes_xyxy_px[:, 1]))
    else:
        raise ValueError(f'order is {by!r}; it must be one of {", ".join(ORDERS)}')
    return rows[::-1] if reverse else rows
