"""The detached process that builds MinIO and starts it, while the rest runs already."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from connectors.local.stack import Stack
from schemas.errors import MarketflowError

if __name__ == "__main__":
    # As an exception, so that what is built halfway, two gigabytes, is deleted on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    try:
        Stack(Path(sys.argv[1])).build_and_start_minio()
    except MarketflowError as error:
        sys.exit(f"{error}")
