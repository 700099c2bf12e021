"""The code of the tutorials runs as it stands, with a nano model in place of the large ones."""

import re

import pytest
from PIL import Image

from tests.apis.conftest import MODEL, save_scenes, scene
from tests.conftest import ROOT

TUTORIALS = sorted((ROOT / 'docs' / 'tutorials').glob('*.md'))


@pytest.mark.parametrize('path', [*TUTORIALS, ROOT / 'docs' / 'inference.md'], ids=lambda p: p.stem)
def test_code_runs(path, weights, tmp_path, monkeypatch):
    # this section is run by tests/uses/test_inference.py
    text = re.sub('## From mmdet and mmseg\n.*?\n## ', '## ', path.read_text(), flags=re.DOTALL)
    code = '\n'.join(re.findall(r'```python\n(.*?)```', text, flags=re.DOTALL))
    code = re.sub(r"'\w+_hornet-l_3x'", repr(MODEL), code)
    code = re.sub(r"'\w+_hornet_3x_\w+\.pth'", repr(str(weights)), code)
    assert MODEL in code
    for name in ('street.jpg', 'street_next.jpg'):
        Image.fromarray(scene(0)).save(tmp_path / name)
    save_scenes(tmp_path / 'frames', 2)
    save_scenes(tmp_path / 'data' / 'scenes' / 'room' / 'color', 2, '.jpg')
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(path), 'exec'), {'__name__': 'tutorial'})
    if path.stem == 'frames_for_3d':
        assert (tmp_path / 'data/maps/room/entity_ids/1.png').is_file()
    if path.stem == 'one_image':
        assert (tmp_path / 'street_entities.png').is_file()
