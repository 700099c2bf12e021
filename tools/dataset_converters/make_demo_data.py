"""As ``mmentity make-demo-data``."""

import sys

from mmentity.cli import main

if __name__ == '__main__':
    sys.exit(main(['make-demo-data', *sys.argv[1:]]))
