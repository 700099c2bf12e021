"""``python -m mmentity`` is the command ``mmentity``."""

import sys

from mmentity.cli import main

if __name__ == '__main__':
    sys.exit(main())
