"""`python -m pipeline.drain [OUT]`, the former name of `python -m pipeline drain [OUT]`."""

import runpy
import sys

if __name__ == "__main__":
    sys.argv[1:1] = ["drain"]
    runpy.run_module("pipeline", run_name="__main__", alter_sys=True)
