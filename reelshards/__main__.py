"""`python -m reelshards`: the same as the console script `reelshards`."""

from __future__ import annotations

import sys

from reelshards.commands import main

if __name__ == "__main__":
    sys.exit(main())
