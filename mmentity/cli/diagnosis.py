"""What is wrong with an environment: one cause, one command.

Nothing of a library is imported here.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mmentity.cli.probe import Probe
from mmentity.utils.dependencies import (
    LITE,
    OPENCV,
    PACKAGES,
    Problem,
    compiled_ops_command,
    find_problems,
    install_command,
)


class Diagnosis(NamedTuple):
    """Versions by module, what to fix, most urgent first, and how to get missing features."""

    versions: dict[str, str]
    problems: list[Problem]
    missing: dict[str, str]

    @property
    def usable(self) -> bool:
        """Whether training and prediction would run."""
        return not any(problem.blocking for problem in self.problems)


def diagnose(installed: Mapping[str, str], probe: Probe) -> Diagnosis:
    """Find what is wrong with what is installed, a version by distribution."""
    present = {
        package.module: [name for name in package.distributions if name in installed]
        for package in PACKAGES
    }
    problems = [*_duplicates(present, installed, probe), *find_problems(installed)]
    if not any(problem.blocking for problem in problems):
        problems += _failed_import(present, probe.errors)
    problems += _unused_gpu(installed, probe)
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
        top, error = module.split('.')[0], errors[module]
        names, needed = present.get(top), top not in optional
        if needed or names:
            cause = f'{module} cannot be imported: {error}'
            yield Problem(cause, _fix(top, names[0] if names else top, error), needed)
        if needed:
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


def _unused_gpu(installed: Mapping[str, str], probe: Probe) -> Iterator[Problem]:
    on_gpu = any(device.startswith('cuda') for device in probe.devices)
    if probe.has_driver and probe.devices and not on_gpu:
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
