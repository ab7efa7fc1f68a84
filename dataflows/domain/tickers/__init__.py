"""Tickers: read, and merged into one normal form."""
