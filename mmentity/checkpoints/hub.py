"""The authors' weights by name: fetched from their page, cached, and checked at every use.

The file lies in the cache of ``huggingface_hub``. Commit and sha256 of its first use are
recorded in the cache folder of mmentity; from then on only these bytes are accepted, and
no network is needed.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Optional, Union

from mmengine.config import Config
from mmengine.logging import MMLogger

from mmentity.checkpoints.errors import WeightsError
from mmentity.checkpoints.load import LICENCE
from mmentity.checkpoints.releases import Release, release_of
from mmentity.utils.files import cache_folder, sha256_of, write_json

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

# what stands for the path of a checkpoint
BY_NAME = 'official'
SUFFIXES = ('.pth', '.pkl')


class Record(NamedTuple):
    """A file as it was at its first use.

    Attributes:
        file: Path in the data set.
        commit: Commit of the data set.
        sha256: In hexadecimal digits.
        num_bytes: Size.
    """

    file: str
    commit: str
    sha256: str
    num_bytes: int


def weights_file(weights: Union[str, Path], config: Config) -> Union[str, Path]:
    """Fetch what ``'official'`` stands for; the path of a checkpoint stays as it is.

    Args:
        weights: ``'official'`` or a path (``./official`` for a file of that name).
        config: Config of the model, which has the name of a shipped one.

    Raises:
        ImportError: If ``huggingface_hub`` is not installed.
        ValueError: If there are no official weights of the config.
        WeightsError: If they cannot be fetched, or are not what they were.
    """
    if str(weights) != BY_NAME:
        return weights
    release = release_of(config.filename)
    MMLogger.get_current_instance().info(terms_of(release))
    return fetch(release)


def terms_of(release: Release) -> str:
    """Say whose the weights of a release are, and what their licence allows."""
    return f'official weights of {release.config}, {LICENCE}, from {release.page}'


def fetch(release: Release) -> Path:
    """Return the checked file of a release, from the cache or else from its page.

    Raises:
        ImportError: If ``huggingface_hub`` is not installed.
        WeightsError: If it cannot be fetched, or is not what it was at its first use.

    Examples:
        >>> fetch(release_of('cropformer_hornet-l_3x')).name
        'CropFormer_hornet_3x_03823a.pth'
    """
    _check_weights_extra()
    record = record_of(release)
    if record is None:
        return _fetch_first(release)
    path = cached_file(release)
    if path is None:
        with _explained(release):
            path = _download(release, record.file, record.commit)
    check(path, record)
    return path


def cached_file(release: Release) -> Optional[Path]:
    """Find the recorded file of a release in the cache, unchecked; None if it is not there."""
    record = record_of(release)
    if record is None or find_spec('huggingface_hub') is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(
        release.repo, record.file, revision=record.commit, repo_type='dataset'
    )
    return Path(path) if isinstance(path, str) else None


def record_of(release: Release) -> Optional[Record]:
    """Look up a release in the ledger; None before its first use."""
    entry = _read_ledger().get(release.page)
    return None if entry is None else Record(**entry)


def check(path: Path, record: Record) -> None:
    """Check that a file is what it was at its first use.

    Raises:
        WeightsError: If it is not.
    """
    digest = sha256_of(path)
    if digest != record.sha256:
        raise WeightsError(
            f'{path} is not what it was at its first use: its sha256 is {digest}, that recorded in '
            f'{ledger_file()} is {record.sha256}; delete {path.resolve()}, and it is fetched anew'
        )


def ledger_file() -> Path:
    """Path of the file that records what was fetched."""
    return cache_folder() / 'weights.json'


def _read_ledger() -> dict[str, dict]:
    path = ledger_file()
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise WeightsError(
            f'{path}, the record of fetched weights, is damaged ({error}); delete it'
        ) from error


def _fetch_first(release: Release) -> Path:
    """Fetch a file that is not recorded, compare it with its page, and record it."""
    with _explained(release):
        listed = _only_weights(release)
        path = _download(release, listed.path, release.revision)
    digest = sha256_of(path)
    promised = listed.lfs.sha256 if listed.lfs else digest
    if digest != promised:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise WeightsError(
            f'{listed.path} arrived damaged: its sha256 is {digest}, {release.page} says '
            f'{promised}; it was deleted, try again'
        )
    # the cache keeps a file below the name of its commit
    commit = path.parents[listed.path.count('/')].name
    record = Record(listed.path, commit, digest, path.stat().st_size)
    write_json(ledger_file(), {**_read_ledger(), release.page: record._asdict()}, indent=1)
    return path


def _only_weights(release: Release) -> 'RepoFile':
    """Find the one checkpoint in the folder of a release."""
    from huggingface_hub.hf_api import HfApi, RepoFile

    entries = HfApi().list_repo_tree(
        release.repo, release.folder, revision=release.revision, repo_type='dataset'
    )
    found = [
        entry for entry in entries if isinstance(entry, RepoFile) and entry.path.endswith(SUFFIXES)
    ]
    if len(found) != 1:
        names = ', '.join(Path(entry.path).name for entry in found) or 'none'
        raise WeightsError(
            f'{release.page} should hold one checkpoint for {release.config}, it holds {names}; '
            'download the right one there and give its path'
        )
    return found[0]


def _download(release: Release, file: str, revision: str) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(release.repo, file, revision=revision, repo_type='dataset'))


@contextmanager
def _explained(release: Release) -> Iterator[None]:
    """Turn what the hub's client raises into one error that says what to do."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except WeightsError:
        raise
    except (GatedRepoError, RepositoryNotFoundError) as error:
        raise WeightsError(
            f'{release.page} lets in who has accepted its terms: open it, log in (a free account) '
            'and accept them there;\nthen run: hf auth login (or set HF_TOKEN), and try again'
        ) from error
    except LocalEntryNotFoundError as error:
        raise WeightsError(_unreachable(release, error.__cause__ or error)) from error
    except (EntryNotFoundError, RevisionNotFoundError) as error:
        raise WeightsError(
            f'{release.page} has changed, and the weights of {release.config} are not where they '
            'were: look there, download them and give their path'
        ) from error
    # the client's HTTP library, whose errors these are, differs from version to version
    except Exception as error:
        raise WeightsError(_unreachable(release, error)) from error


def _unreachable(release: Release, error: BaseException) -> str:
    reason = str(error).strip().splitlines()[0].rstrip('.:') if str(error).strip() else ''
    return (
        f'the weights of {release.config} are not here, and cannot be fetched from {release.page}: '
        f'{type(error).__name__}{f" ({reason})" if reason else ""}; try again (a download goes on '
        'where it broke off), or fetch the file on another machine and give its path'
    )


def _check_weights_extra() -> None:
    if find_spec('huggingface_hub') is None:
        raise ImportError(
            'weights by name need huggingface_hub, which is not there; run: '
            'pip install "mmentity[weights]"'
        )
