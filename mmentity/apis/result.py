"""The entities of one picture, as a user gets them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Optional

import cv2
import numpy as np
from mmdet.structures import DetDataSample
from PIL import Image

from mmentity.structures import EntityMap
from mmentity.visualization.drawing import draw_entities

ORDERS = ('score', 'area', 'position')


@dataclass(frozen=True, eq=False, repr=False)
class EntityResult:
    """The entities that a model found in one picture.

    Row k of every array is entity k + 1 of the map; rows come in descending
    score as long as they have not been put in another :meth:`order`.

    Attributes:
        name: Name of the picture, see :class:`mmentity.apis.inputs.Picture`.
        entities: The entity map; every entity has a pixel.
        scores: float32 ``(K,)``, 0..1.
        labels: int64 ``(K,)``, all 0 for models of entities.
        boxes_xyxy_px: int64 ``(K, 4)``, right and bottom exclusive.
        areas: int64 ``(K,)``, px.
        path: File of the picture, where it has one.
        frame: Number of the frame in a video.
        image: The picture itself, uint8 RGB ``(H, W, 3)``, where it was kept.

    Examples:
        >>> result = inferencer.predict('street.jpg').select(score_thr=0.5)
        >>> result.entity_map              # int32 (H, W), 0 = no entity
        >>> result.scores[0], result.masks()[0]
    """

    name: str
    entities: EntityMap
    scores: np.ndarray
    labels: np.ndarray
    boxes_xyxy_px: np.ndarray
    areas: np.ndarray
    path: Optional[str] = None
    frame: Optional[int] = None
    image: Optional[np.ndarray] = None

    @classmethod
    def from_sample(cls, sample: DetDataSample, name: str = '', **more) -> 'EntityResult':
        """Take over the prediction of a model; queries without a pixel are left out.

        Args:
            sample: Sample with ``pred_entity_map`` and ``pred_instances``.
            name: Name of the picture.
            **more: ``path``, ``frame`` and ``image``.
        """
        instances = sample.pred_instances.cpu().numpy()
        entities = EntityMap(sample.pred_entity_map.ids.cpu().numpy(), len(instances.scores))
        result = cls(
            name=name,
            entities=entities,
            scores=instances.scores,
            labels=instances.labels,
            boxes_xyxy_px=instances.bboxes.astype(np.int64),
            areas=instances.areas,
            **more,
        )
        return result._take(np.flatnonzero(instances.areas))

    def __len__(self) -> int:
        """Return the number of entities."""
        return len(self.scores)

    def __repr__(self) -> str:
        """Name, size and number of entities."""
        size = f'{self.height}x{self.width} px'
        return f'EntityResult({self.name!r}, {size}, {len(self)} entities)'

    @property
    def entity_map(self) -> np.ndarray:
        """Ids of the pixels, int32 ``(H, W)``: 0 = no entity, k = row k - 1."""
        return self.entities.ids[0]

    @property
    def height(self) -> int:
        """Height of the map in px."""
        return self.entities.height

    @property
    def width(self) -> int:
        """Width of the map in px."""
        return self.entities.width

    def keep(self, score_thr: float = 0.0, min_area: int = 0) -> np.ndarray:
        """Tell which entities reach both thresholds, bool ``(K,)``.

        Args:
            score_thr: Lowest score, 0..1.
            min_area: Fewest pixels.
        """
        return (self.scores >= score_thr) & (self.areas >= min_area)

    def select(self, score_thr: float = 0.0, min_area: int = 0) -> 'EntityResult':
        """Leave out entities below a threshold and number the others anew from 1."""
        return self._take(np.flatnonzero(self.keep(score_thr, min_area)))

    def order(self, by: str = 'score', reverse: bool = False) -> np.ndarray:
        """Return the rows in an order, int64 ``(K,)``.

        Args:
            by: ``'score'``, best first; ``'area'``, largest first; ``'position'``,
                by the top, then the left side of the box.
            reverse: Whether to turn the order round.

        Raises:
            ValueError: If there is no such order.
        """
        if by == 'score':
            rows = np.argsort(-self.scores, kind='stable')
        elif by == 'area':
            rows = np.argsort(-self.areas, kind='stable')
        elif by == 'position':
            rows = np.lexsort((self.boxes_xyxy_px[:, 0], self.boxes_xyxy_px[:, 1]))
        else:
            raise ValueError(f'order is {by!r}; it must be one of {", ".join(ORDERS)}')
        return rows[::-1] if reverse else rows

    def ordered(self, by: str = 'score', reverse: bool = False) -> 'EntityResult':
        """Put the entities in an :meth:`order` and number them so from 1."""
        return self._take(self.order(by, reverse))

    def resize(self, height: int, width: int) -> 'EntityResult':
        """Resize the map by nearest neighbour; entities that vanish are left out."""
        if (height, width) == (self.height, self.width):
            return self
        entities = self.entities.resize(height, width)
        image = self.image
        if image is not None:
            image = np.asarray(Image.fromarray(image).resize((width, height), Image.BILINEAR))
        resized = replace(
            self,
            entities=entities,
            areas=entities.areas,
            boxes_xyxy_px=entities.boxes_xyxy_px,
            image=image,
        )
        return resized._take(np.flatnonzero(resized.areas))

    def masks(self) -> np.ndarray:
        """Return boolean masks ``(K, H, W)``; they take K times the map."""
        return self.entities.masks()

    def rles(self) -> list:
        """Return the masks as compressed COCO RLE, with ``counts`` as text."""
        return [{**rle, 'counts': rle['counts'].decode()} for rle in self.entities.rles()]

    def polygons(self) -> list:
        """Return the outlines of each entity as COCO polygons.

        Outlines run through the centres of the outermost pixels; holes are filled,
        and parts of one or two pixels have no outline. Use :meth:`rles` where
        every pixel counts.

        Returns:
            For each entity a list of ``[x0, y0, x1, y1, ...]`` in px.
        """
        polygons = []
        for k, (x0, y0, x1, y1) in enumerate(self.boxes_xyxy_px.tolist()):
            mask = (self.entity_map[y0:y1, x0:x1] == k + 1).astype(np.uint8)
            outlines, _ = cv2.findContours(
                mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(x0, y0)
            )
            polygons.append([line.ravel().tolist() for line in outlines if len(line) >= 3])
        return polygons

    def cutouts(self, image: Optional[np.ndarray] = None) -> Iterator[np.ndarray]:
        """Cut each entity out of the picture, with the rest of its box transparent.

        Args:
            image: uint8 RGB ``(H, W, 3)``; the kept picture by default.

        Yields:
            uint8 RGBA ``(h, w, 4)`` of each entity, as large as its box.
        """
        image = self._picture(image)
        for k, (x0, y0, x1, y1) in enumerate(self.boxes_xyxy_px.tolist()):
            inside = self.entity_map[y0:y1, x0:x1] == k + 1
            yield np.dstack([image[y0:y1, x0:x1], inside.view(np.uint8) * np.uint8(255)])

    def draw(
        self,
        image: Optional[np.ndarray] = None,
        alpha: float = 0.55,
        contours: bool = True,
        texts: Optional[Sequence[str]] = None,
    ) -> Image.Image:
        """Draw the entities over the picture.

        Args:
            image: uint8 RGB ``(H, W, 3)``; the kept picture by default.
            alpha: Share of the colour, 0..1.
            contours: Whether to draw outlines.
            texts: A text for each entity.

        Returns:
            A PIL picture.
        """
        drawn = draw_entities(self._picture(image), self.entities, alpha, contours, texts)
        return Image.fromarray(drawn)

    def records(self) -> list:
        """Return a dict of plain numbers for each entity.

        Returns:
            ``id``, ``score``, ``label``, ``bbox`` (xyxy, px) and ``area`` (px).
        """
        columns = (self.scores, self.labels, self.boxes_xyxy_px, self.areas)
        return [
            {
                'id': k,
                'score': round(float(score), 6),
                'label': int(label),
                'bbox': box.tolist(),
                'area': int(area),
            }
            for k, (score, label, box, area) in enumerate(zip(*columns), start=1)
        ]

    def _picture(self, image: Optional[np.ndarray]) -> np.ndarray:
        image = self.image if image is None else image
        if image is None:
            raise ValueError(
                f'the picture of {self.name!r} was not kept; ask for keep_image=True or give it'
            )
        if image.shape[:2] != (self.height, self.width):
            raise ValueError(
                f'the picture is {image.shape[0]}x{image.shape[1]}, its entity map '
                f'{self.height}x{self.width} (height x width)'
            )
        return image

    def _take(self, rows: np.ndarray) -> 'EntityResult':
        """Keep the given rows, in their order."""
        numbers = np.zeros(len(self), dtype=np.int32)
        numbers[rows] = np.arange(1, len(rows) + 1)
        ids = self.entities.ids
        if (numbers != np.arange(1, len(self) + 1))[self.areas > 0].any():
            ids = self.entities.renumber(numbers)
        return replace(
            self,
            entities=EntityMap(ids, len(rows)),
            scores=self.scores[rows],
            labels=self.labels[rows],
            boxes_xyxy_px=self.boxes_xyxy_px[rows],
            areas=self.areas[rows],
        )
