"""`python -m photoorg.cli.demo` is what `make demo` runs."""

import sys

from photoorg.cli.demo.run import main

if __name__ == "__main__":
    sys.exit(main())
