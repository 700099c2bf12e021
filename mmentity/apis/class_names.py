"""Names of classes for tools that know a class by its name alone."""

from collections import Counter
from collections.abc import Sequence

ENTITY = ('entity',)


def distinct_names(classes: Sequence[str]) -> list[str]:
    """Give each class a name of its own.

    Tables of classes have names with stray spaces, and some names twice; of those the
    number of the class tells which is which.

    Args:
        classes: Names by label.

    Examples:
        >>> distinct_names(['cat', 'dog ', 'cat'])
        ['cat (1)', 'dog', 'cat (3)']
    """
    stripped = [name.strip() for name in classes]
    times = Counter(stripped)
    return [
        f'{name} ({number})' if times[name] > 1 else name
        for number, name in enumerate(stripped, start=1)
    ]


def names_of(labels: Sequence[int], classes: Sequence[str]) -> list[str]:
    """Return the name of the class of each label.

    Raises:
        ValueError: If a label has no class.
    """
    names = distinct_names(classes)
    for label in labels:
        if not 0 <= label < len(names):
            raise ValueError(
                f'an entity has label {label}, but there are names of {len(names)} classes; set '
                "dataset_meta['classes'] of the model"
            )
    return [names[label] for label in labels]
