"""`python -m photoorg.cli` is the `photoorg` command."""

import sys

from photoorg.cli import main

if __name__ == "__main__":
    sys.exit(main())
