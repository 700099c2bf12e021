"""The best of a list of names for each entity."""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Optional, Protocol

import numpy as np

from mmentity.apis.cutouts import check_crop_options, entity_crops
from mmentity.apis.naming.names_file import check_names
from mmentity.apis.per_entity import EntityNames
from mmentity.apis.result import EntityResult

TEMPLATES = ('a photo of a {}.',)
# cut-outs that go through the encoder together
BATCH_SIZE = 32


class Encoder(Protocol):
    """An encoder of images and texts into one space, such as CLIP.

    Attributes:
        name: Which one it is, with its weights, for the record of a run.
        size: Side in px of the square images that it takes.
        logit_scale: What cosine similarities are multiplied by before the softmax.
    """

    name: str
    size: int
    logit_scale: float

    def encode_images(self, crops: np.ndarray) -> np.ndarray:
        """Encode images, uint8 RGB ``(N, size, size, 3)``, into float32 ``(N, D)``."""

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Encode texts into float32 ``(N, D)``."""


class EntityNamer:
    """Give each entity of a result the best of some names.

    A name is put into each template; its embedding is the mean of those of its texts. An
    entity is encoded as a square cut-out, see :func:`mmentity.apis.cutouts.entity_crops`. The
    score of a name is its share in the softmax over all names, so that it says how much
    better a name is than the others of the list, and not whether any of them is right.

    Args:
        names: At least one, none blank, each once.
        encoder: Encoder of cut-outs and texts.
        templates: Texts with one ``{}`` for the name.
        background: As for :func:`entity_crops`.
        pad: As for :func:`entity_crops`.

    Raises:
        ValueError: If an argument is none of the above.

    Examples:
        >>> encoder = ClipEncoder('ViT-B-32', 'laion2b_s34b_b79k')
        >>> namer = EntityNamer(['car', 'tree', 'road'], encoder)
        >>> result = namer(inferencer.predict('street.jpg'))
        >>> result.naming.names[0], result.naming.scores[0]
    """

    def __init__(
        self,
        names: Sequence[str],
        encoder: Encoder,
        templates: Sequence[str] = TEMPLATES,
        background: str = 'blur',
        pad: float = 0.1,
    ) -> None:
        self.names = np.array(check_names(names))
        self.templates = check_templates(templates)
        check_crop_options(background, pad, encoder.size)
        self.encoder, self.background, self.pad = encoder, background, pad
        # one image at a time, whatever the number of threads that write
        self._lock = threading.Lock()
        self._embeds = self._embed_names()

    def __call__(self, result: EntityResult, image: Optional[np.ndarray] = None) -> EntityResult:
        """Return the result with ``naming``.

        Args:
            result: What was predicted.
            image: uint8 RGB ``(H, W, 3)``; by default the one that was kept.

        Raises:
            ValueError: If the image has another size, or none was kept.
        """
        crops = entity_crops(image, result, self.background, self.pad, self.encoder.size)
        shares = [np.zeros((0, len(self.names)))]
        with self._lock:
            for batch in _batches(crops, BATCH_SIZE):
                embeds = _normalise(self.encoder.encode_images(batch))
                if not np.isfinite(embeds).all():
                    raise ValueError(
                        f'{self.encoder.name} gives no numbers for entities of {result.name!r}; '
                        'check its weights'
                    )
                shares.append(_softmax(self.encoder.logit_scale * embeds @ self._embeds.T))
        table = np.concatenate(shares)
        scores = table.max(axis=1, initial=0).astype(np.float32)
        return replace(result, naming=EntityNames(self.names[table.argmax(axis=1)], scores))

    def record(self) -> dict[str, Any]:
        """Describe what decides about the names, in plain values."""
        return {
            'names': len(self.names),
            'names_sha256': hashlib.sha256('\n'.join(self.names).encode()).hexdigest(),
            'templates': list(self.templates),
            'encoder': self.encoder.name,
            'background': self.background,
            'pad': self.pad,
        }

    def _embed_names(self) -> np.ndarray:
        """Embed the names, ``(N, D)`` of length 1."""
        total = np.zeros(())
        for template in self.templates:
            texts = [template.replace('{}', name) for name in self.names]
            total = total + _normalise(self.encoder.encode_texts(texts))
        return _normalise(total)


def check_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """Return templates; raise a ValueError unless each has one ``{}``, and there is one."""
    if isinstance(templates, str) or not templates:
        raise ValueError(f'templates are {templates!r}; give a list of at least one text')
    for template in templates:
        if template.count('{}') != 1:
            raise ValueError(
                f'the template {template!r} has {template.count("{}")} places for a name; write '
                "{} once, as in 'a photo of a {}.'"
            )
    return tuple(templates)


def _batches(crops: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
    while batch := list(islice(crops, size)):
        yield np.stack(batch)


def _normalise(embeds: np.ndarray) -> np.ndarray:
    """Bring rows to length 1, float64."""
    embeds = np.asarray(embeds, dtype=np.float64)
    return embeds / np.linalg.norm(embeds, axis=-1, keepdims=True).clip(min=1e-12)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
