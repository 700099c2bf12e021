"""As ``mmentity predict``."""

import sys

from mmentity.cli import main

if __name__ == '__main__':
    sys.exit(main(['predict', *sys.argv[1:]]))
