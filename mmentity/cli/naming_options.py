"""The options of ``mmentity predict`` that give entities names."""

import argparse
from typing import Any, NamedTuple, Optional

from mmentity.apis.cutouts import BACKGROUNDS
from mmentity.apis.export import OutputOptions
from mmentity.apis.naming import EntityNamer, read_names_file
from mmentity.apis.naming.clip_package import MODEL, WEIGHTS, check_open_clip
from mmentity.apis.naming.namer import TEMPLATES, check_templates

# options that say how, by what they become
OF_LABELS = ('template', 'clip_model', 'clip_weights', 'label_background')


class Naming(NamedTuple):
    """What was asked for, checked; the encoder is not loaded yet."""

    names: tuple[str, ...]
    templates: tuple[str, ...]
    model: str
    weights: str
    background: str

    def build(self, device: Any) -> EntityNamer:
        """Load CLIP and encode the names.

        Raises:
            ValueError: If the weights cannot be loaded.
        """
        # it needs PyTorch, and prediction from an exported file does not
        from mmentity.apis.naming.clip_encoder import ClipEncoder

        encoder = ClipEncoder(self.model, self.weights, str(device))
        return EntityNamer(self.names, encoder, self.templates, self.background)


def add_naming_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of names."""
    group = parser.add_argument_group('names by CLIP')
    group.add_argument(
        '--labels',
        metavar='FILE',
        help='names, one a line, of which each entity gets the best by CLIP, with a score',
    )
    group.add_argument(
        '--template',
        action='append',
        metavar='TEXT',
        help='text with {} for a name; may be given several times; default: ' + TEMPLATES[0],
    )
    group.add_argument('--clip-model', metavar='NAME', help=f'of open_clip; default: {MODEL}')
    group.add_argument(
        '--clip-weights',
        metavar='FILE|TAG',
        help=f'its weights, a file or a tag of open_clip; default: {WEIGHTS}',
    )
    group.add_argument(
        '--label-background',
        choices=BACKGROUNDS,
        help='what CLIP sees around an entity; default: blur',
    )


def read_naming(args: argparse.Namespace) -> Optional[Naming]:
    """Read and check what the options ask for, None without ``--labels``.

    Raises:
        FileNotFoundError: If there is no such file of names.
        ImportError: If open_clip is not installed.
        ValueError: If the file or a template is wrong, or an option needs ``--labels``.
    """
    if args.labels is None:
        given = [name for name in OF_LABELS if getattr(args, name) is not None]
        if given:
            options = ', '.join(f'--{name.replace("_", "-")}' for name in given)
            raise ValueError(f'{options} without --labels, the file of names')
        return None
    naming = Naming(
        read_names_file(args.labels),
        check_templates(args.template or TEMPLATES),
        args.clip_model or MODEL,
        args.clip_weights or WEIGHTS,
        args.label_background or 'blur',
    )
    check_open_clip()
    return naming


def with_names(outputs: OutputOptions, args: argparse.Namespace) -> OutputOptions:
    """Have overlays show the names, unless ``--draw`` says what they show."""
    if args.labels is None or args.draw:
        return outputs
    return outputs.changed(drawn=(*outputs.drawn, 'names'))
