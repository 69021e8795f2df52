"""`python -m rlhf.engine RUN_DIR`: do the job that RUN_DIR/spec.json describes, and say how it ended.

`python -m rlhf.engine serve DIR`: keep the model that DIR/serve.json describes in memory and answer over a socket.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        from rlhf.engine.serve import main
    else:
        from rlhf.engine.job import main
    sys.exit(main(sys.argv[1:]))
