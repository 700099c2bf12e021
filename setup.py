"""Packaging of mmentity.

``mmentity/.mim`` links to ``configs`` and ``tools``, so they travel in the
wheel and ``mim train mmentity CONFIG`` finds them outside a checkout too.
"""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def version() -> str:
    namespace = {}
    exec((ROOT / 'mmentity' / 'version.py').read_text(), namespace)
    return namespace['__version__']


def requirements(name: str) -> list:
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


extras = {name: requirements(name) for name in ('openmmlab', 'onedl', 'torch', 'web', 'dev')}
extras['all'] = extras['torch'] + extras['openmmlab'] + extras['web']

setup(
    name='mmentity',
    version=version(),
    description='High-quality entity segmentation (CropFormer) for OpenMMLab',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['mmentity', 'mmentity.*']),
    package_data={
        'mmentity': [
            'datasets/categories/*.csv',
            'apis/web/view.*',
            'apis/export/*.html',
            '.mim/configs/**/*.py',
            '.mim/tools/**/*.py',
            '.mim/model-index.yml',
            '.mim/configs/metafile.yml',
        ]
    },
    entry_points={'console_scripts': ['mmentity = mmentity.cli:main']},
    install_requires=requirements('runtime'),
    extras_require=extras,
    zip_safe=False,
    classifiers=[
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
