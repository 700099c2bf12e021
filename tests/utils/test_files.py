import threading

import pytest

from mmentity.utils.files import lock_folder, whole_file


def test_file_appears_under_its_name_with_missing_folders(tmp_path):
    path = tmp_path / 'new' / 'figures.json'
    with whole_file(path) as partial:
        partial.write_text('whole')
        assert not path.exists()
    assert path.read_text() == 'whole'
    assert [p.name for p in path.parent.iterdir()] == ['figures.json']


def test_failure_keeps_the_old_file_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / 'figures.json'
    path.write_text('old')

    def write_half():
        with whole_file(path) as partial:
            partial.write_text('half')
            raise OSError('disk is full')

    with pytest.raises(OSError, match='disk'):
        write_half()
    assert path.read_text() == 'old'
    assert [p.name for p in tmp_path.iterdir()] == ['figures.json']


def test_a_scratch_folder_keeps_the_place_of_the_file_clean(tmp_path):
    path, scratch = tmp_path / 'maps' / '0.png', tmp_path / 'scratch'
    scratch.mkdir()
    with whole_file(path, scratch) as partial:
        partial.write_text('whole')
        assert list(path.parent.iterdir()) == []
    assert path.read_text() == 'whole'
    assert list(scratch.iterdir()) == []


def test_a_folder_is_held_by_one_at_a_time(tmp_path):
    held, done = threading.Event(), []

    def wait_for_it():
        held.wait()
        with lock_folder(tmp_path):
            done.append('second')

    other = threading.Thread(target=wait_for_it)
    other.start()
    with lock_folder(tmp_path):
        held.set()
        other.join(0.2)
        done.append('first')
    other.join()
    assert done == ['first', 'second']
    assert list(tmp_path.iterdir()) == []
