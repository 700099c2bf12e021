"""The visualizer of semantic configs, which mmseg's inferencer accepts as its own."""

from collections.abc import Sequence
from typing import Any, Optional

from mmengine.visualization import Visualizer

from mmentity.registry import VISUALIZERS
from mmentity.visualization.entity_visualizer import EntityVisualizer

try:
    from mmseg.utils import get_classes
    from mmseg.visualization import SegLocalVisualizer
except ImportError:  # mmseg is needed for its metric and inferencer only
    SegLocalVisualizer = Visualizer


@VISUALIZERS.register_module()
class SemanticVisualizer(EntityVisualizer, SegLocalVisualizer):
    """Draw semantic maps as :class:`EntityVisualizer` does, in mmseg's runs too.

    ``MMSegInferencer`` takes only visualizers of mmseg, sets their classes and
    ``alpha``, and may ask for drawings without names.
    """

    def set_dataset_meta(
        self,
        classes: Optional[Sequence[str]] = None,
        palette: Optional[Sequence[Sequence[int]]] = None,
        dataset_name: Optional[str] = None,
    ) -> None:
        """Set the names of the classes; without any, those that were set before stay.

        Args:
            classes: Names of the classes.
            palette: Ignored: the number of a class gives its colour.
            dataset_name: Data set known to mmseg whose classes are meant.
        """
        if classes is None and dataset_name is not None:
            classes = get_classes(dataset_name)
        if classes is not None:
            self.dataset_meta = {'classes': tuple(classes)}

    def add_datasample(self, *args: Any, with_labels: bool = True, **kwargs: Any) -> None:
        """Draw one sample, as :meth:`EntityVisualizer.add_datasample`.

        Args:
            *args: As there.
            with_labels: Whether to write the names of the classes.
            **kwargs: As there.
        """
        meta = self.dataset_meta
        if not with_labels:
            self.dataset_meta = {}
        try:
            super().add_datasample(*args, **kwargs)
        finally:
            self.dataset_meta = meta
