"""As ``mmentity coco2entity``."""

import sys

from mmentity.cli import main

if __name__ == '__main__':
    sys.exit(main(['coco2entity', *sys.argv[1:]]))
