"""As ``mmentity convert --to detectron2``."""

import sys

from mmentity.cli import main

if __name__ == '__main__':
    sys.exit(main(['convert', '--to', 'detectron2', *sys.argv[1:]]))
