"""What is wrong with an environment: one cause, one command.

Nothing of a library is imported here.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Optional

from mmentity.utils.dependencies import (
    LITE,
    OPENCV,
    PACKAGES,
    Problem,
    compiled_ops_command,
    find_problems,
    install_command,
)


class Probe(NamedTuple):
    """What was found by importing.

    Attributes:
        errors: Messages of the imports that failed, in their order.
        devices: Description of each device.
        attention: Implementation of deformable attention on each device.
        cuda_ops: CUDA version of mmcv's compiled ops, ``'not available'`` for ops of
            the CPU alone, None where none are compiled.
        has_driver: Whether the machine has a driver of NVIDIA.
    """

    errors: Mapping[str, str]
    devices: Mapping[str, str]
    attention: Mapping[str, str]
    cuda_ops: Optional[str] = None
    has_driver: bool = False


class Diagnosis(NamedTuple):
    """State of an environment.

    Attributes:
        versions: Version and distribution of each package, by module.
        problems: What to fix, the most urgent first.
        missing: Features that are not available, with the command that brings them.
    """

    versions: dict[str, str]
    problems: list[Problem]
    missing: dict[str, str]

    @property
    def usable(self) -> bool:
        """Whether training and prediction would run."""
        return not any(problem.blocking for problem in self.problems)


def diagnose(installed: Mapping[str, str], probe: Probe) -> Diagnosis:
    """Find what is wrong, without touching the environment.

    Args:
        installed: Versions of the installed distributions, by name.
        probe: What was found by importing.
    """
    present = {
        package.module: [name for name in package.distributions if name in installed]
        for package in PACKAGES
    }
    problems = [*_duplicates(present, installed, probe), *find_problems(installed)]
    if not any(problem.blocking for problem in problems):
        problems += _failed_import(present, probe.errors)
    problems += _unused_gpu(present, installed, probe)
    # one command may fix several: that of torch brings torchvision
    by_command = {problem.command: problem for problem in reversed(problems)}
    return Diagnosis(
        versions={
            module: ', '.join(f'{installed[name]} ({name})' for name in names) or 'missing'
            for module, names in present.items()
        },
        problems=list(by_command.values())[::-1],
        missing={
            package.feature: install_command(package, installed)
            for package in PACKAGES
            if package.feature and not present[package.module]
        },
    )


def _duplicates(
    present: Mapping[str, list[str]], installed: Mapping[str, str], probe: Probe
) -> Iterator[Problem]:
    """Distributions that write the same folder; removing one breaks the other."""
    for package in PACKAGES:
        names = present[package.module]
        if len(names) < 2:
            continue
        failed = next((e for m, e in probe.errors.items() if m.split('.')[0] == package.module), '')
        yield Problem(
            f'{" and ".join(names)} are both installed and write the same folder '
            f'{package.module}' + (f', which is broken: {failed}' if failed else ''),
            f'pip uninstall -y {" ".join(names)} && {install_command(package, installed)}',
            blocking=bool(failed),
        )


def _failed_import(
    present: Mapping[str, list[str]], errors: Mapping[str, str]
) -> Iterator[Problem]:
    """Explain the first import that failed; those after it may fail because of it."""
    optional = {package.module for package in PACKAGES if package.feature}
    # the libraries tell more than mmentity, which imports them all
    order = sorted(errors, key=lambda module: module.startswith('mmentity'))
    for module in order:
        top = module.split('.')[0]
        name = next(iter(present.get(top, ())), top)
        if top in optional:
            if present.get(top):
                error = errors[module]
                yield Problem(
                    f'{module} cannot be imported: {error}', _fix(top, name, error), False
                )
            continue
        error = errors[module]
        yield Problem(f'{module} cannot be imported: {error}', _fix(top, name, error))
        return


def _fix(module: str, distribution: str, error: str) -> str:
    """Command for the error of an import."""
    lost = re.search(r"No module named '([^'.]+)", error)
    if lost:
        names = {'yaml': 'pyyaml', 'skimage': 'scikit-image', 'pkg_resources': '"setuptools<82"'}
        return f'pip install {names.get(lost.group(1), lost.group(1))}'
    if module == 'cv2':
        # the variants with windows need libraries of a screen
        opencv = ' '.join(OPENCV)
        return f'pip uninstall -y {opencv} && pip install {OPENCV[0]}'
    if module == 'mmcv':
        # compiled for another PyTorch; mmentity does not need the compiled ops
        return f'pip uninstall -y {distribution} && pip install {LITE}'
    if module == 'torchvision':
        return 'pip install --force-reinstall torch torchvision'
    if 'compiled using NumPy 1' in error:
        return 'pip install "numpy<2"'
    if module == 'mmentity':
        return 'pip check'
    return f'pip install --force-reinstall --no-deps {distribution}'


def _unused_gpu(
    present: Mapping[str, list[str]], installed: Mapping[str, str], probe: Probe
) -> Iterator[Problem]:
    on_gpu = any(device.startswith('cuda') for device in probe.devices)
    if probe.has_driver and 'torch' not in probe.errors and present['torch'] and not on_gpu:
        yield Problem(
            'there is a driver of NVIDIA, but PyTorch sees no GPU: its build and the driver do '
            'not fit',
            'pip install --force-reinstall torch torchvision',
            blocking=False,
        )
    if on_gpu and probe.cuda_ops == 'not available':
        yield Problem(
            'the compiled ops of mmcv were built without CUDA; on the GPU, attention in plain '
            'PyTorch stands in for them',
            compiled_ops_command(installed),
            blocking=False,
        )
