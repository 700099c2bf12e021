"""As ``mmentity flops``."""

import sys

from mmentity.cli import main

if __name__ == '__main__':
    sys.exit(main(['flops', *sys.argv[1:]]))
