"""Which weights of the authors belong to which shipped config, as the metafile has them."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple, Optional

import yaml

from mmentity.utils.shipped_configs import CONFIGS

METAFILE = CONFIGS / 'metafile.yml'
PAGE = re.compile(r'https://huggingface\.co/datasets/([^/]+/[^/]+)/tree/([^/]+)/(.+)')
BYTES_OF_A_PARAMETER = 4


class Release(NamedTuple):
    """Where the authors keep the weights of a config: one file in a folder of a data set.

    Attributes:
        config: Name of the shipped config.
        page: Address for a browser; configs may share one.
        repo: Data set of the Hugging Face hub.
        revision: Branch.
        folder: Folder in the data set.
        num_bytes: Size as the number of parameters makes it, about that of the file.
    """

    config: str
    page: str
    repo: str
    revision: str
    folder: str
    num_bytes: int


def find_release(config: Optional[str]) -> Optional[Release]:
    """Find the weights of a config by its name or path; None if there are none.

    A config of yours that carries the name of a shipped one is taken for it: the weights
    have to fit it when they are loaded.
    """
    return releases().get(Path(config or '').name.removesuffix('.py'))


def release_of(config: Optional[str]) -> Release:
    """Find the weights of a config by its name or path.

    Raises:
        ValueError: If the authors have released none for it.
    """
    release = find_release(config)
    if release is None:
        raise ValueError(
            f'there are no official weights of {config or "a config without a name"}; fetch those '
            'of a config that your model has the architecture of with mmentity weights fetch '
            f'NAME, and give the file: {", ".join(releases())}'
        )
    return release


def releases() -> dict[str, Release]:
    """List what the authors have released, by the name of the config."""
    return _read(METAFILE)


@cache
def _read(metafile: Path) -> dict[str, Release]:
    found = {}
    for model in yaml.safe_load(metafile.read_text(encoding='utf-8'))['Models']:
        metadata = model['Metadata']
        if page := metadata.get('Weights Page'):
            match = PAGE.fullmatch(page)
            if match is None:
                raise ValueError(
                    f'{metafile}: the Weights Page of {model["Name"]}, {page}, is no folder of a '
                    'data set on huggingface.co'
                )
            repo, revision, folder = match.groups()
            size = metadata['Parameters'] * BYTES_OF_A_PARAMETER
            found[model['Name']] = Release(model['Name'], page, repo, revision, folder, size)
    return found
