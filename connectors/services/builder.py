"""The detached process that builds MinIO and starts it, while the rest runs already."""

from __future__ import annotations

import sys
from pathlib import Path

from connectors.services.stack import Stack
from schemas.errors import MarketflowError

if __name__ == "__main__":
    try:
        Stack(Path(sys.argv[1])).build_and_start_minio()
    except MarketflowError as error:
        sys.exit(f"{error}")
