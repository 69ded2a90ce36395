"""`python -m pipeline.drain [OUT]`, the former name of `python -m pipeline drain [OUT]`."""

import sys

from pipeline.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["drain", *sys.argv[1:]]))
