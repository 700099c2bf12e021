"""Whether weights fit a model, and what of it a training may begin without."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Optional, Union

from mmengine.logging import MMLogger
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmentity.checkpoints.configs import Shape, backbone_part, fitting_configs, shapes_of
from mmentity.checkpoints.errors import WeightsError
from mmentity.checkpoints.key_map import Weights, relative_position_indices
from mmentity.checkpoints.recognise import BACKBONE, MMENTITY


class Differences(NamedTuple):
    """Names of weights that differ from what a model expects.

    ``shapes`` has the shape in the weights and the expected one.
    """

    missing: list[str]
    unexpected: list[str]
    shapes: dict[str, tuple[Shape, Shape]]

    @property
    def names(self) -> list[str]:
        """Every name that does not fit."""
        return [*self.missing, *self.unexpected, *self.shapes]

    def lines(self) -> list[str]:
        """Describe each difference in a line."""
        return [
            *(
                f'{name} is {found} in the weights, {expected} in the model'
                for name, (found, expected) in self.shapes.items()
            ),
            *(f'{name} is missing in the weights' for name in self.missing),
            *(f'{name} is not in the model' for name in self.unexpected),
        ]

    def summary(self) -> str:
        """Describe the first two differences and say how many more there are."""
        lines = self.lines()
        return '; '.join(lines[:2]) + (f', and {len(lines) - 2} more' if len(lines) > 2 else '')


class MismatchError(WeightsError):
    """Weights that do not fit a model; ``differences`` has every name that does not."""

    def __init__(self, message: str, differences: Differences) -> None:
        super().__init__(message)
        self.differences = differences


def compare(state_dict: Mapping[str, Tensor], expected: Mapping[str, Shape]) -> Differences:
    """Compare weights with the names and shapes that a model expects, as of :func:`shapes_of`."""
    return Differences(
        [name for name in expected if name not in state_dict],
        [name for name in state_dict if name not in expected],
        {
            name: (tuple(value.shape), expected[name])
            for name, value in state_dict.items()
            if name in expected and tuple(value.shape) != expected[name]
        },
    )


class Fit(NamedTuple):
    """What a model can load; ``error`` if it is enough for a training, but not to predict."""

    state_dict: dict[str, Tensor]
    error: Optional[MismatchError]


def fit(
    weights: Weights,
    model: nn.Module,
    path: Union[str, Path],
    target: str = 'the model',
    training: bool = False,
) -> Fit:
    """Fit weights in mmentity's names to a model, and log what was done.

    A ``training`` may begin with what fits: windows of a Swin are resized, and a
    head of other classes or another number of queries starts anew. ``path`` and
    ``target`` name the file and the model in messages.

    Raises:
        MismatchError: If they do not fit.
    """
    logger = MMLogger.get_current_instance()
    fitting, error = dict(weights.state_dict), None
    differences = compare(fitting, shapes_of(model))
    if differences.names:
        error = mismatch(weights, differences, path, target)
        resized = resize_windows(differences, fitting)
        anew = dict.fromkeys(name for name in differences.names if name not in resized)
        # classes, queries and views differ between the tasks; norms of feature maps come with them
        if not training or backbone_part(anew):
            raise error
        fitting = {name: value for name, value in fitting.items() if name not in anew} | resized
        if resized:
            logger.info(f'{len(resized)} relative positions resized to the window of Swin')
        if anew:
            logger.warning(
                f'{path} does not fit {target} in {len(anew)} weights, which start anew or are '
                f'dropped: {", ".join([*anew][:6])}{", ..." if len(anew) > 6 else ""}'
            )
    if weights.source != MMENTITY:
        logger.info(
            f'{path} is of {weights.source}: {len(weights.mapped)} weights converted in memory, '
            f'{len(weights.dropped)} constants dropped'
        )
    return Fit(fitting, error)


def mismatch(
    weights: Weights, differences: Differences, path: Union[str, Path], target: str
) -> MismatchError:
    """Make the error that says how weights do not fit, and which shipped configs they do fit."""
    whole_model = any(name.startswith('panoptic_head.') for name in differences.missing)
    if weights.source == BACKBONE and whole_model:
        message = (
            f'{path} holds a backbone alone, which cannot be tested; begin a training with it as '
            'load_from'
        )
    else:
        fitting = ' and '.join(fitting_configs(weights.state_dict)) or 'no shipped config'
        message = (
            f'the weights of {path} do not fit {target}: {differences.summary()}; '
            f'they fit {fitting}'
        )
    return MismatchError(message, differences)


def resize_windows(differences: Differences, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Resize the relative positions of a Swin to the windows that a model has.

    Bicubic, as the authors of Swin do to go from window 7 to 12; mmpretrain's own
    way needs a function that SciPy no longer has.

    Returns:
        Tables ``((2 * window - 1) ** 2, heads)`` of other windows and their
        indices, at the expected size.
    """
    tables = {}
    for name, (found, expected) in differences.shapes.items():
        if not name.endswith('relative_position_bias_table') or found[1:] != expected[1:]:
            continue
        old, new = (int(length**0.5) for length in (found[0], expected[0]))
        table = state_dict[name]
        grid = table.float().T.unflatten(1, (old, old))[None]
        grid = F.interpolate(grid, (new, new), mode='bicubic', align_corners=False)
        tables[name] = grid[0].flatten(1).T.to(table.dtype)
    return {**tables, **relative_position_indices(tables)}
