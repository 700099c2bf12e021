"""The command lines of the converters, as users run them."""

import hashlib
import json
import os
import pickle
import resource
import subprocess
import sys
import zipfile

import pytest
import torch
from mmengine.config import Config

from mmentity.checkpoints.fit import MismatchError
from mmentity.checkpoints.publish import publish_detectron2, publish_mmentity
from mmentity.converters import convert_detectron2
from mmentity.utils.shipped_configs import CONFIGS
from tests.checkpoints.official_names import FAMILIES, cheap_weights, official_shapes
from tests.conftest import ROOT
from tests.models.parity import build, run_tool, tiny_options

FORWARD, BACK = 'detectron2_to_mmentity', 'mmentity_to_detectron2'


@pytest.fixture(scope='module')
def official(reference):
    return reference.weights(reference.load('cropformer_swin_tinycfg')[0])


@pytest.fixture(scope='module')
def folder(official, tmp_path_factory):
    """The official file and the config of the small CropFormer."""
    folder = tmp_path_factory.mktemp('files')
    torch.save({'model': official}, folder / 'official.pth')
    config = Config.fromfile(CONFIGS / '_base_/models/cropformer_swin-t.py')
    config.merge_from_dict(tiny_options())
    config.dump(folder / 'tiny.py')
    return folder


def written(out):
    (path,) = out.glob('*.pth')
    return path, torch.load(path, weights_only=True)


def test_the_file_is_named_and_documented(folder, official, tmp_path, capsys):
    run_tool(FORWARD, folder / 'official.pth', tmp_path / 'tiny.pth',
             '--config', folder / 'tiny.py')  # fmt: skip
    path, content = written(tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.name == f'tiny_{digest[:8]}.pth'
    meta = content['meta']
    assert meta['source'] == 'official.pth'
    assert (
        meta['source_sha256'] == hashlib.sha256((folder / 'official.pth').read_bytes()).hexdigest()
    )
    assert 'CC BY-NC 4.0' in meta['licence']
    assert meta['authors'] == 'https://github.com/qqlu/Entity'
    assert meta['config'] == 'tiny.py'
    assert Config.fromstring(meta['cfg'], '.py').model.type == 'mmentity.CropFormer'
    out = capsys.readouterr().out
    assert 'CropFormer, Swin of width 24, window 7, 20 queries, 1 class, of the official' in out
    assert f'{len(official)} weights mapped, 0 dropped' in out
    assert str(path) in out


def test_the_same_weights_get_the_same_name(folder, tmp_path):
    names = {
        publish_mmentity(folder / 'official.pth', tmp_path / f'{i}', folder / 'tiny.py').path.name
        for i in range(2)
    }
    assert len(names) == 1


def test_half_the_size(folder, official, tmp_path):
    for half in (False, True):
        publish_mmentity(folder / 'official.pth', tmp_path / f'{half}/', folder / 'tiny.py', half)
    whole, _ = written(tmp_path / 'False')
    small, content = written(tmp_path / 'True')
    assert small.stat().st_size < 0.6 * whole.stat().st_size
    for name, value in convert_detectron2(official).items():
        stored = content['state_dict'][name]
        assert torch.equal(stored, value.half() if value.is_floating_point() else value)


def test_values_beyond_float16_are_not_halved(folder, official, tmp_path):
    name = 'sem_seg_head.predictor.query_feat.weight'
    torch.save({**official, name: official[name] * 1e6}, tmp_path / 'large.pth')
    with pytest.raises(ValueError, match='query_feat.weight has values beyond float16'):
        publish_mmentity(tmp_path / 'large.pth', tmp_path / 'out', folder / 'tiny.py', half=True)
    assert not (tmp_path / 'out').exists()


def test_every_name_is_accounted_for(reference, tmp_path, capsys):
    shapes = official_shapes(reference, FAMILIES['mask2former_swin-t_semantic'])
    shapes['sem_seg_head.predictor.static_query.weight'] = shapes.pop(
        'sem_seg_head.predictor.query_feat.weight'
    )
    torch.save({'model': cheap_weights(shapes)}, tmp_path / 'older.pth')
    run_tool(FORWARD, tmp_path / 'older.pth', tmp_path / 'out/', '--verbose')
    out = capsys.readouterr().out
    lines = {line.split()[0] for line in out.splitlines() if line.split()[0] in shapes}
    assert lines == shapes.keys()
    assert 'criterion.empty_weight dropped: class weights of the loss' in out
    assert 'fit: mask2former_swin-t_3x_semantic.py' in out
    path, content = written(tmp_path / 'out')
    assert path.name.startswith('mask2former_swin-t_3x_semantic_')
    assert len(content['meta']['dataset_meta']['classes']) == 150


def test_there_and_back_again(folder, official, tmp_path):
    converted = publish_mmentity(folder / 'official.pth', tmp_path / 'ours/', folder / 'tiny.py')
    run_tool(BACK, converted.path, tmp_path / 'theirs/')
    path, content = written(tmp_path / 'theirs')
    assert path.name.startswith('tiny_')
    assert 'CC BY-NC 4.0' in content['meta']['licence']
    weights = content['model']
    assert all(torch.equal(weights[name], value) for name, value in official.items())
    assert {name.split('.')[-1] for name in weights.keys() - official.keys()} == {
        'relative_position_index',
        'empty_weight',
    }


def test_a_trained_checkpoint_goes_back(tmp_path):
    model = build('demo/cropformer_swin-nano_demo.py')
    meta = {'epoch': 0, 'iter': 1400}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, tmp_path / 'iter_1400.pth')
    published = publish_detectron2(tmp_path / 'iter_1400.pth', tmp_path / 'out')
    assert 'demo/cropformer_swin-nano_demo.py' in published.configs
    weights = torch.load(published.path, weights_only=True)['model']
    assert all(
        torch.equal(value, model.state_dict()[name])
        for name, value in convert_detectron2(weights).items()
    )


def test_each_mismatch_is_named(folder, tmp_path):
    config = Config.fromfile(folder / 'tiny.py')
    config.model.panoptic_head.num_queries = 30
    config.model.panoptic_head.transformer_decoder.num_layers = 2
    config.dump(tmp_path / 'other.py')
    with pytest.raises(MismatchError) as caught:
        publish_mmentity(folder / 'official.pth', tmp_path / 'out', tmp_path / 'other.py')
    differences = caught.value.differences
    assert set(differences.shapes) == {
        'panoptic_head.query_embed.weight',
        'panoptic_head.query_feat.weight',
    }
    assert differences.missing == []
    assert all('transformer_decoder.layers.2.' in name for name in differences.unexpected)
    # two attentions of four, a feed-forward network of four, three norms of two
    assert len(differences.unexpected) == 18
    assert not (tmp_path / 'out').exists()


def command(name, *arguments):
    script = ROOT / 'tools' / 'model_converters' / f'{name}.py'
    return [sys.executable, str(script), *map(str, arguments)]


def run(*arguments, **options):
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        **options,
    )


class Shell:
    def __reduce__(self):
        return os.system, ('touch executed',)


def zip_with_code(path):
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', pickle.dumps({'model': Shell()}, protocol=2))
        archive.writestr('archive/version', '3')


def cut_short(path, folder):
    path.write_bytes((folder / 'official.pth').read_bytes()[:4_000_000])


BAD = {
    'lost.pth': (lambda path, folder: None, 'lost.pth does not exist'),
    'truncated.pth': (cut_short, 'truncated.pth is cut short'),
    'text.pth': (lambda path, folder: path.write_text('weights'), 'text.pth is no checkpoint'),
    'code.pth': (lambda path, folder: zip_with_code(path), 'code.pth wants to call posix.system'),
    'notes.zip.pth': (
        lambda path, folder: zipfile.ZipFile(path, 'w').writestr('notes.txt', 'hello'),
        'notes.zip.pth is cut short, damaged or no checkpoint',
    ),
    'resnet.pth': (
        lambda path, folder: torch.save({'conv1.weight': torch.zeros(1)}, path),
        'belong to another project',
    ),
    'more.pth': (
        lambda path, folder: torch.save(
            {**torch.load(folder / 'official.pth')['model'], 'box_head.fc.bias': torch.ones(1)},
            path,
        ),
        "'box_head.fc.bias'",
    ),
    'ours.pth': (
        lambda path, folder: torch.save({'panoptic_head.cls_embed.bias': torch.ones(2)}, path),
        'are those of OpenMMLab already',
    ),
    'tiny.pth': (
        lambda path, folder: path.symlink_to(folder / 'official.pth'),
        'which no shipped config is; the nearest is demo/cropformer_swin-nano_demo.py',
    ),
}


@pytest.mark.parametrize('name', BAD)
def test_a_bad_file_ends_with_a_message_and_no_output(name, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write, message = BAD[name]
    write(tmp_path / name, folder)
    with pytest.raises(SystemExit) as caught:
        run_tool(FORWARD, tmp_path / name, tmp_path / 'out' / 'converted.pth')
    assert message in str(caught.value.code)
    assert len(str(caught.value.code).splitlines()) == 1
    assert not (tmp_path / 'executed').exists()
    assert not (tmp_path / 'out').exists()
    assert capsys.readouterr().out == ''


def test_weights_of_another_config_end_with_a_message(folder, tmp_path):
    """In a process of its own: what is on stderr, and the exit code."""
    config = 'mask2former_swin-t_3x'
    done = run(FORWARD, folder / 'official.pth', tmp_path / 'out', '--config', config)
    assert done.returncode == 2
    assert f'official.pth do not fit {config}: ' in done.stderr.strip().splitlines()[-1]
    assert 'Traceback' not in done.stderr
    assert 'panoptic_head.query_feat.weight is (20, 64) in the weights, (100, 256)' in done.stderr
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ('cropformer_swin-x', "no config 'cropformer_swin-x'"),
        ('schedule.py', 'config schedule.py has no model'),
        ('broken.py', 'the model of config broken.py cannot be built: '),
    ],
)
def test_a_wrong_config_ends_with_a_message(config, message, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'broken.py').write_text("model = dict(type='mmentity.Nothing')")
    (tmp_path / 'schedule.py').write_text('max_iters = 9')
    with pytest.raises(SystemExit, match=message):
        run_tool(FORWARD, folder / 'official.pth', tmp_path / 'out', '--config', config)
    assert not (tmp_path / 'out').exists()


def test_a_disk_that_fills_up_leaves_nothing_behind(folder, tmp_path):
    (tmp_path / 'older.pth').write_bytes(b'older')
    done = run(
        FORWARD, folder / 'official.pth', tmp_path / 'new.pth', '--config', folder / 'tiny.py',
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000,) * 2),
    )  # fmt: skip
    assert done.returncode == 2
    assert 'could not be written' in done.stderr.splitlines()[-1]
    assert 'Traceback' not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ['older.pth']


def test_a_target_of_another_kind_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r'converted.onnx must end in .pth or .safetensors, or b'):
        publish_mmentity(folder / 'official.pth', tmp_path / 'converted.onnx')


def test_official_names_do_not_go_back(folder, tmp_path):
    with pytest.raises(SystemExit) as caught:
        run_tool(BACK, folder / 'official.pth', tmp_path / 'out')
    assert 'official.pth is of the official release, not in the names of mmentity' in str(
        caught.value.code
    )


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists('/proc/self/status'), reason='memory is read from /proc')
def test_hornet_l_stays_within_time_and_memory_of_a_laptop(reference, tmp_path):
    """Peak memory of the tool; its time is measured by a benchmark."""
    weights = {
        name: value.contiguous()
        for name, value in cheap_weights(
            official_shapes(reference, FAMILIES['cropformer_hornet-l'])
        ).items()
    }
    torch.save({'model': weights}, tmp_path / 'official.pth')
    code = (
        'import atexit, runpy, sys; sys.argv = sys.argv[1:]\n'
        # ru_maxrss of a process begins with that of the one that started it
        'peak = lambda: next(line for line in open("/proc/self/status") if "VmHWM" in line)\n'
        # the tool ends with sys.exit
        'atexit.register(lambda: print(peak().split()[1]))\n'
        'runpy.run_path(sys.argv[0], run_name="__main__")'
    )
    line = command(FORWARD, tmp_path / 'official.pth', tmp_path / 'out/')[1:]
    done = subprocess.run(
        [sys.executable, '-c', code, *line], capture_output=True, text=True, check=True
    )
    assert 'cropformer_hornet-l_3x.py' in done.stdout
    assert json.loads(done.stdout.splitlines()[-1]) < 3 * 2**20
