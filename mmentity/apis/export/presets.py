"""Output options of projects that read what a run writes."""

from typing import Any

from mmentity.apis.export.options import LAYOUT, OutputOptions

# Plain values, as the public scripts of these projects read them, see docs/inference.md.
# 'folder' and 'name' change every path of the default layout, 'layout' single ones.
PRESET_VALUES: dict[str, dict[str, Any]] = {
    'maskclustering': {
        'score_thr': 0.5,
        'min_area': 400,
        'reverse': True,
        'id_dtype': 'uint8',
        'folder': '{sequence}/output/',
        'name': '{frame}',
        'layout': {'idmap': '{sequence}/output/mask/{frame}.png'},
    },
    'onlineanyseg': {
        'score_thr': 0.6,
        'min_area': 500,
        'id_dtype': 'uint8',
        'size': [480, 640],
        'resize_first': True,
        'folder': '{sequence}/',
        'name': '{frame}',
        'layout': {'idmap': '{sequence}/mask/{frame}.png'},
    },
    'corrclip': {
        'formats': ['npz'],
        'score_thr': 0.5,
        'npz_key': 'instance_mask',
        'npz_tables': False,
        'layout': {'npz': '{stem}.npz', 'sidecar': 'entities/{stem}.json'},
    },
}


def build_preset(values: dict[str, Any]) -> OutputOptions:
    """Build the options of a preset from plain values.

    Args:
        values: Attributes of :class:`OutputOptions`; ``layout`` may name some of
            the formats only. ``folder`` goes before the other paths of the
            default layout, and ``name`` in place of their ``{name}``.

    Raises:
        ValueError: If a value is not allowed.
    """
    options = dict(values)
    folder, name = options.pop('folder', ''), options.pop('name', '{name}')
    layout = {key: folder + path.replace('{name}', name) for key, path in LAYOUT.items()}
    layout.update(options.pop('layout', {}))
    tuples = {key: tuple(value) for key, value in options.items() if isinstance(value, list)}
    return OutputOptions(**{**options, **tuples}, layout=layout)


PRESETS = {name: build_preset(values) for name, values in PRESET_VALUES.items()}
