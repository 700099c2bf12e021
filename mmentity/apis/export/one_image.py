"""The result of a single image: a table to read, and two files beside the image."""

from pathlib import Path
from typing import Optional

from terminaltables import AsciiTable

from mmentity.apis.export.numbering import NumberedResult, encode_image, number_entities
from mmentity.apis.export.options import OutputOptions
from mmentity.apis.export.overlays import check_names_are_given, draw_overlay
from mmentity.apis.inferencer import EntityInferencer
from mmentity.apis.inputs import InputImage, expand
from mmentity.apis.naming import EntityNamer
from mmentity.utils.files import whole_file

# what a single image shows beside its fill and contours: the ids of the table
DRAWN = ('fill', 'contours', 'ids')
HEADINGS: tuple[str, ...] = ('id', 'score', 'area, px', 'box x0 y0 x1 y1, px')
NAME_HEADINGS = ('name', 'of names')


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

    def __call__(
        self, inferencer: EntityInferencer, namer: Optional[EntityNamer] = None
    ) -> tuple[NumberedResult, list[Path]]:
        """Predict and write; return the entities as they were written, and the files.

        With a namer they have names.

        Raises:
            SampleError: If the image cannot be used.
            ValueError: If the ids do not fit their type.
            OSError: If a file cannot be written.
        """
        options = self.options
        check_names_are_given(options.drawn, namer)
        result = inferencer.predict(self.path, max_side=options.max_side, size=options.network_size)
        numbered = number_entities(result, options)
        if namer is not None:
            numbered = numbered._replace(result=namer(numbered.result))
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
    """Lay out id, score, area and box of each entity as a table, and its name if it has one."""
    result = numbered.result
    rows: list[tuple] = [
        (number, f'{score:.3f}', f'{area:,}', ' '.join(map(str, box)))
        for number, score, area, box in zip(
            numbered.ids.tolist(),
            result.scores.tolist(),
            result.areas.tolist(),
            result.boxes_xyxy_px.tolist(),
        )
    ]
    headings = HEADINGS
    if result.naming is not None:
        headings = (*HEADINGS, *NAME_HEADINGS)
        names = zip(result.naming.names.tolist(), result.naming.scores.tolist())
        rows = [(*row, name, f'{score:.3f}') for row, (name, score) in zip(rows, names)]
    table = AsciiTable([headings, *rows], f' {result.name}: {len(rows)} entities ')
    table.justify_columns = dict.fromkeys(range(len(headings)), 'right')
    return table.table
