"""As ``mmentity test``."""

import sys

from mmentity.cli import main

if __name__ == '__main__':
    sys.exit(main(['test', *sys.argv[1:]]))
