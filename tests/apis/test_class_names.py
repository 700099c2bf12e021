import pytest

from mmentity.apis.class_names import distinct_names, names_of


def test_names_are_distinct():
    assert distinct_names(['cat', ' dog ', 'cat ']) == ['cat (1)', 'dog', 'cat (3)']
    assert names_of([2, 1], ['cat', ' dog ', 'cat ']) == ['cat (3)', 'dog']


@pytest.mark.parametrize('label', [-1, 2])
def test_labels_need_a_class(label):
    with pytest.raises(ValueError, match=f'has label {label}, but there are names of 2 classes'):
        names_of([0, label], ['cat', 'dog'])
