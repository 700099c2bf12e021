"""As ``mmentity analyze-results``."""

import sys

from mmentity.cli import main

if __name__ == '__main__':
    sys.exit(main(['analyze-results', *sys.argv[1:]]))
