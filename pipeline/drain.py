"""`python -m pipeline.drain [OUT]`, the former name of `python -m pipeline drain [OUT]`."""

import sys

from pipeline.__main__ import main
from shards_spec.cli import end_process

if __name__ == "__main__":
    end_process(main(["drain", *sys.argv[1:]]))
