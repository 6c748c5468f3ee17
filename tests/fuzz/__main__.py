"""python -m tests.fuzz: random networks on random machines; see tests/fuzz/README.md."""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before numpy: each process takes one core

from tests.fuzz.command import main  # noqa: E402

if __name__ == "__main__":
    raise SystemExit(main())
