"""As ``mmentity convert``."""

import sys

from mmentity.cli import main

if __name__ == '__main__':
    sys.exit(main(['convert', *sys.argv[1:]]))
