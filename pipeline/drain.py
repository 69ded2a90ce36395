"""`python -m pipeline.drain`, by its former name; see `pipeline.run.drain`."""

import sys

from pipeline.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
