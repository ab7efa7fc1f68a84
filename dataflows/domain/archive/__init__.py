"""The archive: processed records, read in order."""
