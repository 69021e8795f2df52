"""`python -m rlhf.engine RUN_DIR`: do the job that RUN_DIR/spec.json describes, and say how it ended."""

from __future__ import annotations

import sys

from rlhf.engine.job import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
