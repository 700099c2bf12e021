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


# Nothing of OpenMMLab, no torch and no OpenCV: forks and builds of them have other names, and
# pip would write its files over those that are there.
REQUIRED = [
    'matplotlib',
    'numpy',
    'orjson',
    'packaging',
    'pillow',
    'pycocotools>=2.0.7',
    'requests',
    'rich',
    # weights; half a megabyte, asks for nothing
    'safetensors>=0.4',
    'scipy',
    'terminaltables',
]
EXTRAS = {
    'torch': ['torch>=2.1', 'torchvision>=0.16'],
    # mmseg imports ftfy and regex without asking for them
    'openmmlab': [
        'ftfy',
        'mmcv-lite>=2.1.0,<2.2.0',
        'mmdet>=3.3.0,<3.4.0',
        'mmengine>=0.10.4',
        'mmpretrain>=1.2.0',
        'mmsegmentation>=1.2.2',
        'regex',
    ],
    'onedl': [
        'onedl-mmcv>=2.3.6',
        'onedl-mmdetection>=3.5.1',
        'onedl-mmengine>=0.10.12',
        'onedl-mmpretrain>=1.3.6',
        'onedl-mmsegmentation>=1.4.2',
    ],
    # photographs of phones
    'heif': ['pillow-heif'],
    # DINOv3's ConvNeXt
    'timm': ['timm>=1.0.20'],
    # runs what `mmentity to-transformers` writes, which does not need it itself
    'transformers': ['transformers>=5.0'],
    # windows of large images, and maps that are written in parts
    'tiles': ['rasterio>=1.3'],
    # names of entities by CLIP; its weights are read without running code from 3.0 on
    'clip': ['open_clip_torch>=3.0'],
    # features of entities as tables
    'parquet': ['pyarrow>=14'],
    'web': ['starlette>=0.40', 'uvicorn>=0.30'],
    # prediction with an exported network, without PyTorch and OpenMMLab
    # (pyyaml reads presets, and comes with mmengine elsewhere)
    'onnx': ['onnxruntime>=1.18', 'pyyaml'],
    # writing one, which PyTorch's exporter needs
    'onnx-export': ['onnx>=1.16', 'onnxruntime>=1.18', 'onnxscript>=0.3'],
    # the authors' weights by name
    'weights': ['huggingface_hub>=1.0'],
    # a data set on the workers of Ray Data
    'ray': ['ray[data]'],
    # the site that `make docs` builds
    'docs': ['furo', 'ipython-pygments-lexers', 'myst-parser', 'sphinx', 'sphinx-copybutton'],
    # onedl-mim has the mim of openmim without pkg_resources; psutil is for the benchmarks,
    # tensorboard for a test of mmengine's way of logging to it; cvat-sdk, label-studio-converter
    # and supervision read our formats, and heavier readers come with `nox -s readers`
    'dev': [
        'cvat-sdk',
        'label-studio-converter',
        'mypy',
        'nox[uv]',
        'onedl-mim',
        'pillow-heif',
        'playwright',
        'pre-commit',
        'psutil',
        'pytest',
        'pytest-xdist',
        'rasterio',
        'ray[data]',
        'ruff',
        'setuptools',
        'supervision',
        'tensorboard',
        # not into the oldest cell: with torch below 2.4 it breaks the import of mmdet
        'transformers>=5.0; python_version >= "3.11"',
    ],
}
EXTRAS['all'] = [
    package
    for name in ('torch', 'openmmlab', 'web', 'weights', 'onnx-export')
    for package in EXTRAS[name]
]

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
            'apis/web/static/*',
            'checkpoints/model_cards/*.md',
            'apis/export/*.html',
            'apis/export/preset_files/*.yaml',
            '.mim/configs/**/*.py',
            '.mim/tools/**/*.py',
            '.mim/tools/*.sh',
            '.mim/model-index.yml',
            '.mim/configs/metafile.yml',
        ]
    },
    entry_points={'console_scripts': ['mmentity = mmentity.cli:main']},
    install_requires=REQUIRED,
    extras_require=EXTRAS,
    zip_safe=False,
    classifiers=[
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
