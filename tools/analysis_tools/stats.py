"""As ``mmentity stats``."""

import sys

from mmentity.cli import main

if __name__ == '__main__':
    sys.exit(main(['stats', *sys.argv[1:]]))
