"""As ``mmentity web``."""

import sys

from mmentity.cli import main

if __name__ == '__main__':
    sys.exit(main(['web', *sys.argv[1:]]))
