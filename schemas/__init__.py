"""What market data looks like: records, wire formats, settings and SQL. Bytes in, records out, no I/O."""
