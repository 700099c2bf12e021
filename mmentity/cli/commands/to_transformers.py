"""Write a Mask2Former with a Swin as the folder of a model of transformers.

mmentity to-transformers mask2former_swin-l.pth mask2former_swin-l/

Mask2FormerForUniversalSegmentation.from_pretrained and AutoImageProcessor.from_pretrained load
the folder; its README.md has code that gives the id map of mmentity. CropFormer and HorNet do
not exist in transformers. The weights keep their licence: those of the release are CC BY-NC 4.0.
The way back: mmentity convert FOLDER model.pth
"""

import argparse

from mmentity.checkpoints.publish_transformers import publish_transformers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmentity to-transformers``."""
    parser.add_argument('weights', help='checkpoint: official, converted, or of a training')
    parser.add_argument('out', help='folder to write, new or empty')
    parser.add_argument(
        '--config', help='config that the weights must fit; default: the shipped one that they fit'
    )


def run(args: argparse.Namespace) -> int:
    """Write the folder."""
    print('\n'.join(publish_transformers(args.weights, args.out, args.config).lines()))
    return 0
