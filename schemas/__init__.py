"""What market data looks like: records, wire formats, settings, SQL. Pure: no I/O."""
