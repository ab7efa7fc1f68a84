"""Order books: read, kept from snapshots and deltas, averaged by minute."""
