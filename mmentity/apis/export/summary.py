"""What came out of a run, in a few lines."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

from mmentity.apis.export.options import OutputOptions


class Counts(NamedTuple):
    """Entities of one image: found by the model, written, and the best score, 0..1."""

    found: int
    written: int
    best_score: float


@dataclass
class Summary:
    """Counts over the images that a run has written.

    Attributes:
        images: Images written.
        found: Entities that the model found in them.
        written: Entities that were written.
        fewest: Fewest entities that were written of an image.
        most: Most entities.
        empty: Images of which no entity was written.
        best_score: Highest score that the model gave, 0..1.
        causes: Images that failed, by cause.
    """

    images: int = 0
    found: int = 0
    written: int = 0
    fewest: int = 0
    most: int = 0
    empty: int = 0
    best_score: float = 0.0
    causes: Counter[str] = field(default_factory=Counter)

    def add(self, counts: Counts) -> None:
        """Count an image that was written."""
        self.fewest = counts.written if self.images == 0 else min(self.fewest, counts.written)
        self.most = max(self.most, counts.written)
        self.images += 1
        self.found += counts.found
        self.written += counts.written
        self.empty += counts.written == 0
        self.best_score = max(self.best_score, counts.best_score)

    def fail(self, error: Exception) -> str:
        """Count an image that failed; returns the cause."""
        cause = getattr(error, 'kind', type(error).__name__)
        self.causes[cause] += 1
        return cause

    def record(self) -> dict[str, Any]:
        """Return plain values, for the manifest."""
        mean = round(self.written / self.images, 2) if self.images else 0
        return {
            'entities': {'fewest': self.fewest, 'mean': mean, 'most': self.most},
            'without_entities': self.empty,
            'causes': dict(self.causes),
        }

    def lines(self) -> list[str]:
        """Say how many entities images have, and why images failed."""
        lines = []
        if self.images:
            mean = self.written / self.images
            none = f'; {self.empty} of {self.images} images have none' if self.empty else ''
            lines.append(
                f'entities of an image: {self.fewest} to {self.most}, {mean:.1f} on average{none}'
            )
        if self.causes:
            causes = (f'{number} {cause}' for cause, number in self.causes.most_common())
            lines.append(f'failed: {", ".join(causes)}')
        return lines

    def warning(self, outputs: OutputOptions) -> Optional[str]:
        """Say why nothing was found, if so."""
        if self.images == 0 or self.written:
            return None
        if self.found == 0:
            return 'the model found no entity in any image; are these the weights of this config?'
        return (
            f'no entity reaches --score-thr {outputs.score_thr} and --min-area '
            f'{outputs.min_area}, so all maps are empty: the model found {self.found:,} entities, '
            f'the best with score {self.best_score:.2f}'
        )
