"""`python -m ostinato` is the command `ostinato`."""

import sys

from ostinato.launch.cli import main

if __name__ == "__main__":
    sys.exit(main())
