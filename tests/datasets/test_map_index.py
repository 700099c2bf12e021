"""The index of a folder of id maps."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mmentity.datasets import EntityFolderDataset, map_index
from mmentity.datasets.map_index import MapIndex
from tests.conftest import ROOT

NAMES = ['a.png', 'sub/b.png', 'empty.png']


@pytest.fixture
def maps(tmp_path):
    folder = tmp_path / 'maps'
    (folder / 'sub').mkdir(parents=True)
    for name, values in zip(NAMES, ([[0, 1], [7, 255]], [[3, 3, 3]], [[0, 255]])):
        Image.fromarray(np.array(values, np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def reads(monkeypatch):
    """Names of the maps that are opened."""
    opened = []
    original = Image.open
    monkeypatch.setattr(
        map_index.Image, 'open', lambda path: [opened.append(path.name), original(path)][1]
    )
    return opened


def test_maps_are_read_once(maps, reads):
    facts = MapIndex(maps, 'auto', (255,)).facts(NAMES, count=True)
    assert facts == [(2, 2, 2), (1, 3, 1), (1, 2, 0)]
    assert sorted(reads) == ['a.png', 'b.png', 'empty.png']
    reads.clear()
    assert MapIndex(maps, 'auto', (255,)).facts(NAMES[::-1], count=True) == facts[::-1]
    assert MapIndex(maps, 'auto', (255,)).facts(NAMES, count=False) == facts
    assert reads == []
    # other values are entities here
    assert MapIndex(maps, 'auto', ()).facts(NAMES, count=True)[2] == (1, 2, 1)
    assert len(reads) == 3


def test_sizes_do_not_decode_and_counts_are_added(maps, reads):
    sizes = MapIndex(maps, 'auto', ()).facts(NAMES, count=False)
    assert sizes[0] == (2, 2, None)
    assert MapIndex(maps, 'auto', ()).facts(NAMES, count=True)[0] == (2, 2, 3)
    assert len(reads) == 6


def test_changed_and_new_maps_are_read_again(maps, reads):
    MapIndex(maps, 'auto', ()).facts(NAMES, count=True)
    reads.clear()
    Image.fromarray(np.eye(4, dtype=np.uint8)).save(maps / 'a.png')
    Image.fromarray(np.eye(5, dtype=np.uint8)).save(maps / 'new.png')
    facts = MapIndex(maps, 'auto', ()).facts([*NAMES, 'new.png'], count=True)
    assert [fact.height for fact in facts] == [4, 1, 1, 5]
    assert sorted(reads) == ['a.png', 'new.png']
    reads.clear()
    stat = os.stat(maps / 'a.png')
    os.utime(maps / 'a.png', ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    MapIndex(maps, 'auto', ()).facts(NAMES, count=True)
    assert reads == ['a.png']


@pytest.mark.parametrize('text', ['', '{"version": 1}', '[]', '{"version": 0, "maps": {}}'])
def test_a_damaged_index_is_made_again(maps, text):
    index = MapIndex(maps, 'auto', ())
    facts = index.facts(NAMES, count=True)
    index.files[0].write_text(text)
    assert index.facts(NAMES, count=True) == facts
    assert len(json.loads(index.files[0].read_text())['maps']) == 3


def test_damaged_maps_are_kept_for_the_loader_to_report(maps):
    (maps / 'a.png').write_bytes(b'no image')
    assert MapIndex(maps, 'auto', ()).facts(NAMES, count=True)[0] == (None, None, None)


def test_read_only_data_are_indexed_in_the_cache_folder(maps, reads, monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    index = MapIndex(maps, 'auto', ())
    # root may write into read-only folders: a file in the place of the folder stops it as well
    blocked = tmp_path / 'file'
    blocked.write_text('')
    index.files = (blocked / 'index.json', index.files[1])
    facts = index.facts(NAMES, count=True)
    assert index.files[1].parent == tmp_path / 'cache/mmentity'
    reads.clear()
    assert index.facts(NAMES, count=True) == facts
    assert reads == []
    index.files = (blocked / 'index.json', blocked / 'other.json')
    assert index.facts(NAMES, count=True) == facts
    assert len(reads) == 3


def test_of_several_processes_one_reads(maps, tmp_path):
    code = '\n'.join([
        'import sys; from pathlib import Path',
        'from mmentity.datasets import map_index',
        'read = map_index.MapIndex._read',
        'def slow(self, name, count):',
        '    import time; time.sleep(0.3)',
        '    with open(sys.argv[2], "a") as log: log.write(name + "\\n")',
        '    return read(self, name, count)',
        'map_index.MapIndex._read = slow',
        f'facts = map_index.MapIndex(Path(sys.argv[1]), "auto", ()).facts({NAMES!r}, True)',
        'assert facts[0].num_entities == 3',
    ])  # fmt: skip
    log = tmp_path / 'log'
    line = [sys.executable, '-c', code, str(maps), str(log)]
    env = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    processes = [subprocess.Popen(line, env=env) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert sorted(log.read_text().split()) == sorted(NAMES)


def test_the_dataset_filters_without_reading_at_the_second_start(maps, reads, tmp_path):
    (tmp_path / 'images/sub').mkdir(parents=True)
    for name in NAMES:
        Image.new('RGB', (3, 3)).save((tmp_path / 'images' / name).with_suffix('.jpg'))
    for expected_reads in (3, 0):
        reads.clear()
        dataset = EntityFolderDataset(
            data_root=str(tmp_path),
            data_prefix={'img': 'images/', 'seg': 'maps/'},
            no_entity_ids=[255],
            filter_cfg={'filter_empty_gt': True},
            pipeline=[],
        )
        assert len(dataset) == 2
        assert [dataset.get_cat_ids(k) for k in range(2)] == [[0, 0], [0]]
        assert len(reads) == expected_reads
