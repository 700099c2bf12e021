"""As ``mmentity check | make-lr | derive | download``: entityseg.py ROOT SUBCOMMAND [OPTIONS]."""

import argparse
import sys

from mmentity.cli import main

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', help='folder that holds images/ and annotations/')
    parser.add_argument('subcommand', choices=['check', 'make-lr', 'derive', 'download'])
    parser.add_argument('options', nargs=argparse.REMAINDER)
    args = parser.parse_args()
    sys.exit(main([args.subcommand, args.root, *args.options]))
