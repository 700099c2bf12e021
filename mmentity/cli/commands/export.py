"""Write the network of a config as an ONNX file, which predicts without PyTorch.

mmentity export cropformer_swin-t_3x weights.pth model.onnx --height 800 --width 1088
mmentity predict street.jpg --model model.onnx

The size of the graph is fixed: images of other shapes are resized to fit in and padded. A .pt2
file is the same network for torch.export.load. The weights keep their licence.
"""

import argparse

from mmentity.apis import get_model
from mmentity.cli.arguments import add_config_options
from mmentity.cli.runs import load_config
from mmentity.deploy.check import compare
from mmentity.deploy.export import export_network


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmentity export``."""
    parser.add_argument('config', help='config, by path or by the name of a shipped one')
    parser.add_argument('weights', help="checkpoint, or official: the authors' (CC BY-NC 4.0)")
    parser.add_argument('out', help='file to write, .onnx or .pt2')
    parser.add_argument(
        '--height',
        type=int,
        help="of the graph, px, a multiple of 32; default: config's short side",
    )
    parser.add_argument(
        '--width', type=int, help="of the graph, px, a multiple of 32; default: config's long side"
    )
    parser.add_argument('--dynamic', action='store_true', help='refused: the size is fixed')
    parser.add_argument(
        '--half', action='store_true', help='store weights in float16, half the size'
    )
    parser.add_argument(
        '--no-check', action='store_true', help='do not compare the file with PyTorch'
    )
    add_config_options(parser)


def run(args: argparse.Namespace) -> int:
    """Export, and compare with PyTorch; 1 if they differ."""
    model = get_model(load_config(args), args.weights, 'cpu')
    exported = export_network(model, args.out, args.height, args.width, args.half, args.dynamic)
    info = exported.info
    print(
        f'{exported.path}: {exported.num_bytes / 1e6:.1f} MB, {info.model} of {info.config}, '
        f'{info.num_views} x {info.height} x {info.width} px'
    )
    if args.no_check:
        return 0
    difference = compare(model, exported)
    print(difference.describe())
    return 0 if difference.is_small else 1
