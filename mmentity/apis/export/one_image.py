"""The result of a single image: a table to read, and two files beside the image."""

from pathlib import Path

from terminaltables import AsciiTable

from mmentity.apis.export.numbering import NumberedResult, encode_image, number_entities
from mmentity.apis.export.options import OutputOptions
from mmentity.apis.export.overlays import draw_overlay
from mmentity.apis.inferencer import EntityInferencer
from mmentity.apis.inputs import InputImage, expand
from mmentity.utils.files import whole_file

# what a single image shows beside its fill and contours: the ids of the table
DRAWN = ('fill', 'contours', 'ids')
HEADINGS = ('id', 'score', 'area, px', 'box x0 y0 x1 y1, px')


class OneImage:
    """Predict one image, and write ``NAME.entities.png`` and ``NAME.overlay.jpg`` beside it.

    Args:
        path: File of the image.
        options: What is kept, how it is numbered and drawn; formats and places do not count.

    Raises:
        ValueError: If there is no such file, or it is a video.

    Examples:
        >>> numbered, files = OneImage('street.jpg')(EntityInferencer(config, weights))
        >>> print(table_of(numbered))
    """

    def __init__(
        self,
        path: str,
        options: OutputOptions = OutputOptions(drawn=DRAWN),  # noqa: B008
    ) -> None:
        if not Path(path).is_file():
            raise ValueError(
                f'{path} is no file; give the path of one image, or --out, a folder for the '
                'results of many'
            )
        (source,) = expand([path])
        if not isinstance(source, InputImage):
            raise ValueError(f'{path} has many frames; give --out, a folder for the results')
        self.path = Path(path)
        self.options = options

    def __call__(self, inferencer: EntityInferencer) -> tuple[NumberedResult, list[Path]]:
        """Predict and write; return the entities as they were written, and the files.

        Raises:
            SampleError: If the image cannot be used.
            ValueError: If the ids do not fit their type.
            OSError: If a file cannot be written.
        """
        options = self.options
        result = inferencer.predict(self.path, max_side=options.max_side, size=options.network_size)
        numbered = number_entities(result, options)
        content = {
            '.entities.png': numbered.png(self.options.id_dtype),
            '.overlay.jpg': encode_image('.jpg', draw_overlay(numbered, self.options.drawn)),
        }
        files = [self.path.with_suffix(suffix) for suffix in content]
        for file, data in zip(files, content.values()):
            with whole_file(file) as partial:
                partial.write_bytes(data)
        return numbered, files


def table_of(numbered: NumberedResult) -> str:
    """Lay out id, score, area and box of each entity as a table."""
    result = numbered.result
    rows = [
        (number, f'{score:.3f}', f'{area:,}', ' '.join(map(str, box)))
        for number, score, area, box in zip(
            numbered.ids.tolist(),
            result.scores.tolist(),
            result.areas.tolist(),
            result.boxes_xyxy_px.tolist(),
        )
    ]
    table = AsciiTable([HEADINGS, *rows], f' {result.name}: {len(rows)} entities ')
    table.justify_columns = dict.fromkeys(range(len(HEADINGS)), 'right')
    return table.table
