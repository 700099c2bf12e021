"""What is wrong with an environment: one cause, one command.

Nothing but the standard library is imported here.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Optional


class Package(NamedTuple):
    """A package that mmentity builds on.

    Attributes:
        module: Name under which it is imported.
        distributions: Distributions that bring it; they exclude each other.
        lowest: Lowest version.
        install: What pip installs, in an environment of upstream OpenMMLab.
        fork: Likewise, in one of the onedl-* forks.
        required: Whether training and prediction need it.
        feature: What else needs it.
    """

    module: str
    distributions: tuple[str, ...]
    lowest: str
    install: str
    fork: str = ''
    required: bool = True
    feature: str = ''


OPENCV = tuple(
    f'opencv-{kind}' for kind in ('python-headless', 'python', 'contrib-python-headless',
                                  'contrib-python')
)  # fmt: skip
LITE = '"mmcv-lite==2.1.0"'
PACKAGES = (
    Package('torch', ('torch',), '2.0', 'torch torchvision'),
    Package('torchvision', ('torchvision',), '0.15', 'torchvision'),
    Package('numpy', ('numpy',), '1.21', 'numpy'),
    Package('scipy', ('scipy',), '1.8', 'scipy'),
    Package('PIL', ('pillow',), '9.1', 'pillow'),
    Package('cv2', OPENCV, '4.5', OPENCV[0], feature='images and videos'),
    Package('matplotlib', ('matplotlib',), '3.5', 'matplotlib', feature='curves and plots'),
    Package('pycocotools', ('pycocotools',), '2.0.7', 'pycocotools', feature='AP'),
    Package('rich', ('rich',), '10.0', 'rich'),
    Package('terminaltables', ('terminaltables',), '3.1', 'terminaltables'),
    Package('mmengine', ('mmengine', 'onedl-mmengine'), '0.10.4', '"mmengine>=0.10.4"',
            'onedl-mmengine'),
    Package('mmcv', ('mmcv-lite', 'mmcv', 'onedl-mmcv'), '2.0', LITE, 'onedl-mmcv'),
    Package('mmdet', ('mmdet', 'onedl-mmdetection'), '3.3', '"mmdet==3.3.0"', 'onedl-mmdetection'),
    Package('mmpretrain', ('mmpretrain', 'onedl-mmpretrain'), '1.2', '"mmpretrain==1.2.0"',
            'onedl-mmpretrain', feature='HorNet'),
    Package('mmseg', ('mmsegmentation', 'onedl-mmsegmentation'), '1.2.2',
            '"mmsegmentation==1.2.2" ftfy regex', 'onedl-mmsegmentation ftfy regex',
            required=False, feature='mIoU, training of semantic segmentation'),
    Package('panopticapi', ('panopticapi-lite', 'panopticapi'), '0.1',
            '--no-deps panopticapi-lite', required=False, feature='PQ'),
    Package('gradio', ('gradio',), '6.0', '"mmentity[web]"', required=False,
            feature='mmentity web'),
)  # fmt: skip


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


class Problem(NamedTuple):
    """Something to fix.

    Attributes:
        cause: What is wrong.
        command: What fixes it.
        blocking: Whether training or prediction would fail.
    """

    cause: str
    command: str
    blocking: bool = True


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
        installed: Versions of the installed distributions, by lower-case name.
        probe: What was found by importing.
    """
    present = {package.module: _present(package, installed) for package in PACKAGES}
    use_forks = any(name.startswith('onedl-mm') for name in installed) and 'mmdet' not in installed
    problems = [
        *_duplicates(present, installed, probe, use_forks),
        *_missing_or_old(present, installed, use_forks),
        *_refused_mmcv(present, installed),
    ]
    if not any(problem.blocking for problem in problems):
        problems += _failed_import(present, installed, probe.errors)
    problems += _unused_gpu(present, probe)
    return Diagnosis(
        versions={
            module: ', '.join(f'{installed[name]} ({name})' for name in names) or 'missing'
            for module, names in present.items()
        },
        problems=problems,
        missing={
            package.feature: _install(package, use_forks)
            for package in PACKAGES
            if not package.required and not present[package.module]
        },
    )


def _present(package: Package, installed: Mapping[str, str]) -> list[str]:
    return [name for name in package.distributions if name in installed]


def _install(package: Package, use_forks: bool) -> str:
    return f'pip install {package.fork if use_forks and package.fork else package.install}'


def _duplicates(
    present: Mapping[str, list[str]], installed: Mapping[str, str], probe: Probe, use_forks: bool
) -> Iterator[Problem]:
    """Distributions that write the same folder; removing one breaks the other."""
    for package in PACKAGES:
        names = present[package.module]
        if len(names) < 2:
            continue
        failed = next((e for m, e in probe.errors.items() if m.split('.')[0] == package.module), '')
        yield Problem(
            f'{" and ".join(names)} are both installed and write the same folder '
            f'{package.module}, so that each breaks the other' + (f' ({failed})' if failed else ''),
            f'pip uninstall -y {" ".join(names)} && {_install(package, use_forks)}',
            blocking=bool(failed),
        )


def _missing_or_old(
    present: Mapping[str, list[str]], installed: Mapping[str, str], use_forks: bool
) -> Iterator[Problem]:
    for package in PACKAGES:
        names, command = present[package.module], _install(package, use_forks)
        if not names:
            # torch's command brings torchvision too
            if package.required and not (package.module == 'torchvision' and not present['torch']):
                yield Problem(f'{package.module} is not installed', command)
        elif _numbers(installed[names[0]]) < _numbers(package.lowest):
            yield Problem(
                f'{names[0]} is {installed[names[0]]}; {package.lowest} or later is needed',
                command.replace('pip install', 'pip install --upgrade'),
                blocking=package.required,
            )


def _refused_mmcv(
    present: Mapping[str, list[str]], installed: Mapping[str, str]
) -> Iterator[Problem]:
    """mmdet asks mmcv for its version when it is imported."""
    for name in present['mmcv'][:1]:
        if 'mmdet' in installed and _numbers(installed[name]) >= (2, 2):
            yield Problem(
                f'mmdet {installed["mmdet"]} refuses {name} {installed[name]}; it takes '
                'mmcv 2.0 and 2.1',
                f'pip uninstall -y {name} && pip install {LITE}',
            )


def _failed_import(
    present: Mapping[str, list[str]], installed: Mapping[str, str], errors: Mapping[str, str]
) -> Iterator[Problem]:
    """Explain the first import that failed; those after it may fail because of it."""
    optional = {package.module for package in PACKAGES if not package.required}
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


def _unused_gpu(present: Mapping[str, list[str]], probe: Probe) -> Iterator[Problem]:
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
            'MMCV_WITH_OPS=1 FORCE_CUDA=1 pip install --force-reinstall --no-deps '
            '--no-build-isolation "mmcv==2.1.0"',
            blocking=False,
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r'\d+', version.split('+')[0])[:3])
