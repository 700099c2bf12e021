"""As ``mmentity train``."""

import sys

from mmentity.cli import main

if __name__ == '__main__':
    sys.exit(main(['train', *sys.argv[1:]]))
