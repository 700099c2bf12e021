"""The code of the tutorials runs as it stands, with a nano model in place of the large ones."""

import json
import os
import re
import secrets
import tempfile

import pytest
from PIL import Image

from tests.apis.conftest import CROPS, MODEL, ColourEncoder, contents, save_scenes, scene
from tests.conftest import ROOT

TUTORIALS = {path.stem: path for path in (ROOT / 'docs' / 'tutorials').glob('*.md')}
RAY = TUTORIALS.pop('ray_data')


def run_code(path, weights, model=MODEL):
    """Run the Python code of a page."""
    # this section is run by tests/uses/test_inference.py
    text = re.sub('## From mmdet and mmseg\n.*?\n## ', '## ', path.read_text(), flags=re.DOTALL)
    code = '\n'.join(re.findall(r'```python\n(.*?)```', text, flags=re.DOTALL))
    code = re.sub(r"'\w+_hornet-l_3x'", repr(model), code)
    code = re.sub(r"'\w+_hornet_3x_\w+\.pth'", repr(str(weights)), code)
    assert model in code
    exec(compile(code, str(path), 'exec'), {'__name__': 'tutorial'})


@pytest.mark.parametrize(
    'path', [*sorted(TUTORIALS.values()), ROOT / 'docs' / 'inference.md'], ids=lambda p: p.stem
)
def test_code_runs(path, weights, crop_weights, tmp_path, monkeypatch, capsys):
    options = (weights, MODEL)
    if path.stem == 'large_images':
        # its views are crops, its tiles of a TIFF
        options = (crop_weights, CROPS)
        pytest.importorskip('rasterio', reason='the extra tiles is not installed')
    for name in ('street.jpg', 'street_next.jpg'):
        Image.fromarray(scene(0)).save(tmp_path / name)
    Image.fromarray(scene(1, 96, 128)).save(tmp_path / 'town.tif')
    save_scenes(tmp_path / 'frames', 2)
    save_scenes(tmp_path / 'data' / 'scenes' / 'room' / 'color', 2, '.jpg')
    # CLIP is an extra, and its weights are not here
    monkeypatch.setattr('mmentity.apis.naming.clip_encoder.ClipEncoder', lambda *_: ColourEncoder())
    monkeypatch.chdir(tmp_path)
    run_code(path, *options)
    if path.stem == 'features':
        similar = r'\(\d+, 64\)\n\(\d+, 64\)\n(0\.\d+ [01] \d+\n)+'
        named = r'\(\d+, 224, 224, 3\)\n(\w+ 0\.\d+\n)+'
        assert re.fullmatch(similar + named, capsys.readouterr().out)
    if path.stem == 'frames_for_3d':
        assert (tmp_path / 'data/maps/room/entity_ids/1.png').is_file()
    if path.stem == 'one_image':
        assert (tmp_path / 'street_entities.png').is_file()
    if path.stem == 'large_images':
        assert (tmp_path / 'maps/town.tif').is_file()
        assert (tmp_path / 'maps/town.json').is_file()


@pytest.fixture
def local_ray(tmp_path, monkeypatch):
    """Ray on this machine, which leaves nothing behind."""
    monkeypatch.setenv('RAY_USAGE_STATS_ENABLED', '0')
    # else it writes one into the home of the user
    (tmp_path / 'token').write_text(secrets.token_hex(32))
    monkeypatch.setenv('RAY_AUTH_MODE', 'token')
    monkeypatch.setenv('RAY_AUTH_TOKEN_PATH', str(tmp_path / 'token'))
    monkeypatch.setenv('PYTHONPATH', str(ROOT), prepend=os.pathsep)
    ray = pytest.importorskip('ray', reason='Ray is not installed; pip install "mmentity[ray]"')
    pytest.importorskip('ray.data', reason='Ray has no data; pip install "mmentity[ray]"')
    # its sockets have long names below this folder
    with tempfile.TemporaryDirectory(dir='/tmp') as folder:
        memory = 100 << 20
        ray.init(num_cpus=2, include_dashboard=False, object_store_memory=memory, _temp_dir=folder)
        yield ray
        ray.shutdown()


@pytest.mark.slow
def test_two_workers_on_ray_write_the_files_of_a_single_run(
    local_ray, weights, tmp_path, monkeypatch, capsys
):
    save_scenes(tmp_path / 'frames', 40)
    (tmp_path / 'frames' / '7.png').write_bytes(b'no image')
    monkeypatch.chdir(tmp_path)
    # so that none is done before the other is there
    local_ray.data.DataContext.get_current().wait_for_min_actors_s = 300
    run_code(RAY, weights)
    manifests = list((tmp_path / 'maps').glob('manifest.worker-*.json'))
    counts = [json.loads(path.read_text())['images'] for path in manifests]
    assert len(counts) == 2
    assert all(count['written'] for count in counts)
    assert len(contents(tmp_path / 'maps')) == 3 * 39
    assert contents(tmp_path / 'maps') == contents(tmp_path / 'maps_of_one')
    printed = capsys.readouterr().out
    assert len(re.findall(r'^\d+ written \d+ $', printed, re.MULTILINE)) == 39
    (reason,) = re.findall(r'^7 failed 0 (.*)$', printed, re.MULTILINE)
    assert f'{tmp_path}/frames/7.png is not a complete image' in reason
    # the results of rows that are not written
    assert len(re.findall(r'^\d+ \(48, 64\) \[', printed, re.MULTILINE)) == 39
