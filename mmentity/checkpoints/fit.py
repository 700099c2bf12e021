"""Whether weights fit a model, and what of it a training may begin without."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Optional, Union

from mmengine.logging import MMLogger
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmentity.checkpoints.configs import fitting_configs
from mmentity.checkpoints.key_map import relative_position_indices
from mmentity.checkpoints.read import WeightsError
from mmentity.checkpoints.recognise import BACKBONE, MMENTITY, Weights

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Differences:
    """How weights differ from what a model expects.

    Attributes:
        missing: Names that the model has and the weights have not.
        unexpected: Names that the weights have and the model has not.
        shapes: Names of other shape, to the shape of the weights and the
            expected one.
    """

    missing: list[str]
    unexpected: list[str]
    shapes: dict[str, tuple[Shape, Shape]]

    def __len__(self) -> int:
        return len(self.names)

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

    def summary(self, first: int = 2) -> str:
        """Describe the first differences and how many more there are."""
        lines = self.lines()
        more = f', and {len(lines) - first} more' if len(lines) > first else ''
        return '; '.join(lines[:first]) + more


class MismatchError(WeightsError):
    """Weights that do not fit a model.

    Attributes:
        differences: Every name that is missing, unexpected or of another shape.
    """

    def __init__(self, message: str, differences: Optional[Differences] = None) -> None:
        super().__init__(message)
        self.differences = differences


def shapes_of(model: nn.Module) -> dict[str, Shape]:
    """Names and shapes of all parameters and buffers that a model saves."""
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


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
    """What a model can load.

    Attributes:
        state_dict: Names and shapes of the model to tensors.
        error: Why this is enough to begin a training with, but not to predict;
            None where everything fits.
    """

    state_dict: dict[str, Tensor]
    error: Optional[MismatchError]


def fit(
    weights: Weights,
    model: nn.Module,
    path: Union[str, Path],
    target: str = 'the model',
    training: bool = False,
) -> Fit:
    """Fit weights to a model, and log what was done.

    Args:
        weights: Weights in mmentity's names.
        model: Model that is to load them.
        path: File that they are from, for messages.
        target: What to call the model in messages.
        training: Whether a training may begin with what fits: windows of a Swin are
            resized, and a head of other classes or another number of queries
            starts anew.

    Raises:
        MismatchError: If they do not fit.
    """
    differences = compare(weights.state_dict, shapes_of(model))
    fitting, error = dict(weights.state_dict), None
    if differences:
        error = mismatch(weights, differences, path, target)
        resized = resize_windows(differences, weights.state_dict)
        anew = [name for name in differences.names if name not in resized]
        if not training or any(map(_is_needed, anew)):
            raise error
        fitting = {name: value for name, value in fitting.items() if name not in set(anew)}
        fitting.update(resized)
        _log_differences(path, target, list(resized), anew)
    if weights.source != MMENTITY:
        MMLogger.get_current_instance().info(
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


def _is_needed(name: str) -> bool:
    """Whether a training cannot begin without this weight.

    Classes, queries and views differ between the tasks, and a backbone of
    ImageNet has no norms of its feature maps.
    """
    return name.startswith('backbone.') and not name.startswith('backbone.norm')


def _log_differences(
    path: Union[str, Path], target: str, resized: list[str], anew: list[str]
) -> None:
    logger = MMLogger.get_current_instance()
    if resized:
        logger.info(f'{len(resized)} relative positions resized to the window of Swin')
    if anew:
        logger.warning(
            f'{path} does not fit {target} in {len(anew)} weights, which start anew or are '
            f'dropped: {", ".join(anew[:6])}{", ..." if len(anew) > 6 else ""}'
        )


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
