"""Trades: read, deduplicated, folded into the minutes of a symbol."""
