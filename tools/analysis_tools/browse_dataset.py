"""As ``mmentity browse``."""

import sys

from mmentity.cli import main

if __name__ == '__main__':
    sys.exit(main(['browse', *sys.argv[1:]]))
