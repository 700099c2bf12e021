"""Weights by name: what the loopback hub serves, refuses, cuts off and changes."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmentity.checkpoints import releases
from mmentity.checkpoints.errors import WeightsError
from mmentity.checkpoints.hub import cached_file, fetch, ledger_file, record_of, weights_file
from mmentity.checkpoints.releases import release_of
from mmentity.cli import main
from mmentity.utils.shipped_configs import CONFIGS, get_config
from tests.conftest import ROOT
from tests.loopback_hub import COMMIT, CONFIG, FOLDER, PAGE

FILE = f'{FOLDER}/nano_0123ab.pth'


@pytest.fixture
def release(hub):
    return release_of(CONFIG)


def test_the_first_use_fetches_and_records(hub, release):
    path = fetch(release)
    assert path.read_bytes() == hub.files[FILE]
    assert json.loads(ledger_file().read_text()) == {
        PAGE: {
            'file': FILE, 'commit': COMMIT, 'num_bytes': 7000,
            'sha256': hashlib.sha256(hub.files[FILE]).hexdigest(),
        }
    }  # fmt: skip


@pytest.mark.parametrize('how', ['switch', 'no server'])
def test_a_fetched_file_needs_no_network(hub, release, go_offline, how):
    path = fetch(release)
    asked = len(hub.requests)
    go_offline(how)
    assert fetch(release) == path
    assert len(hub.requests) == asked


@pytest.mark.parametrize('how', ['switch', 'no server'])
def test_offline_without_the_file(release, go_offline, how):
    go_offline(how)
    with pytest.raises(WeightsError, match='are not here, and cannot be fetched') as raised:
        fetch(release)
    assert CONFIG in str(raised.value)
    assert 'on another machine and give its path' in str(raised.value)
    assert not ledger_file().exists()


@pytest.mark.parametrize('status', [401, 403])
@pytest.mark.parametrize('known', [False, True])
def test_a_gated_page_says_in_two_lines_how_to_get_in(hub, release, status, known):
    if known:
        path = fetch(release)
        path.resolve().unlink()
        path.unlink()
    hub.gated = status
    with pytest.raises(WeightsError) as raised:
        fetch(release)
    first, second = str(raised.value).splitlines()
    assert first.startswith(PAGE)
    assert 'hf auth login' in second


def test_a_download_that_breaks_off_goes_on(hub, release):
    hub.cuts = 3
    assert fetch(release).read_bytes() == hub.files[FILE]
    assert hub.requests.count(f'GET /cdn/{FILE}') == 4


def test_a_download_that_always_breaks_off(hub, release):
    hub.files[FILE] = b'w'
    hub.cuts = 1000
    with pytest.raises(WeightsError, match='cannot be fetched.*goes on where it broke off'):
        fetch(release)
    assert record_of(release) is None


def test_a_file_that_is_not_what_its_page_says(hub, release):
    hub.promised[FILE] = 'f' * 64
    with pytest.raises(WeightsError, match='arrived damaged.*it was deleted, try again'):
        fetch(release)
    assert record_of(release) is None
    hub.promised.clear()
    assert fetch(release).read_bytes() == hub.files[FILE]


def test_a_file_that_is_not_what_it_was(hub, release):
    path = fetch(release)
    path.write_bytes(b'something else')
    with pytest.raises(WeightsError, match='is not what it was at its first use') as raised:
        fetch(release)
    assert f'delete {path.resolve()}, and it is fetched anew' in str(raised.value)
    path.resolve().unlink()
    assert fetch(release).read_bytes() == hub.files[FILE]


def test_a_file_that_the_authors_replaced_is_not_taken(hub, release):
    path = fetch(release)
    path.resolve().unlink()
    path.unlink()
    hub.files[FILE] = b'newer weights'
    with pytest.raises(WeightsError, match='is not what it was at its first use'):
        fetch(release)


@pytest.mark.parametrize('names', [[], ['a.pth', 'b.pkl']])
def test_a_page_with_another_number_of_checkpoints(hub, release, names):
    del hub.files[FILE]
    hub.files.update({f'{FOLDER}/{name}': b'1' for name in names})
    with pytest.raises(WeightsError, match=f'it holds {", ".join(names) or "none"}; download'):
        fetch(release)


def test_a_damaged_ledger_is_named(hub, release):
    ledger_file().parent.mkdir(parents=True)
    ledger_file().write_text('{')
    with pytest.raises(WeightsError, match='the record of fetched weights, is damaged'):
        fetch(release)


def test_without_the_client_the_command_that_brings_it(release, monkeypatch):
    monkeypatch.setattr('mmentity.checkpoints.hub.find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "mmentity\[weights\]"'):
        fetch(release)


def test_weights_file_leaves_paths_alone():
    config = get_config('cropformer_swin-t_3x')
    assert weights_file('a.pth', config) == 'a.pth'
    config = get_config('cropformer_r50_3x')
    with pytest.raises(ValueError, match='there are no official weights of .*cropformer_r50_3x'):
        weights_file('official', config)


def test_every_page_of_the_metafile_is_a_release():
    found = releases.releases()
    assert found['cropformer_hornet-l_3x'].folder.endswith('/CropFormer_hornet_3x')
    assert {release.repo for release in found.values()} == {'qqlu1992/Adobe_EntitySeg'}
    assert 800 < found['cropformer_hornet-l_3x'].num_bytes / 1e6 < 900


def test_the_command(hub, capsys):
    assert main(['weights', 'list']) == 0
    assert '7 MB  -   ' in capsys.readouterr().out
    assert main(['weights', 'verify']) == 0
    assert 'none of them is here' in capsys.readouterr().out
    assert main(['weights', 'fetch', CONFIG]) == 0
    path = cached_file(release_of(CONFIG))
    assert capsys.readouterr().out == f'{path}\n'
    assert main(['weights', 'list', CONFIG]) == 0
    out = capsys.readouterr().out
    assert '0 MB  fetched' in out
    assert 'CC BY-NC 4.0, non-commercial use only' in out
    assert main(['weights', 'verify']) == 0
    path.write_bytes(b'')
    assert main(['weights', 'verify']) == 1
    assert 'is not what it was' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('words', 'message'),
    [(['fetch'], 'wants the name of a config'), (['list', 'mine'], 'no official weights of mine')],
)
def test_mistakes_of_the_command(words, message, capsys):
    assert main(['weights', *words]) == 2
    assert message in capsys.readouterr().err


def test_the_variables_of_the_client_are_kept(hub, tmp_path):
    """A process of its own with HF_ENDPOINT, as users of a mirror have it; the real metafile."""
    found = releases._read(CONFIGS / 'metafile.yml')['cropformer_swin-t_3x']
    hub.repo, hub.files = found.repo, {f'{found.folder}/a.pth': b'weights'}
    done = subprocess.run(
        [sys.executable, '-m', 'mmentity', 'weights', 'fetch', 'cropformer_swin-t_3x'],
        capture_output=True, text=True, cwd=ROOT,
        env={'PYTHONPATH': str(ROOT), 'HF_ENDPOINT': hub.url, 'HOME': str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).read_bytes() == b'weights'
    assert found.page in done.stderr
    assert 'non-commercial use only' in done.stderr
