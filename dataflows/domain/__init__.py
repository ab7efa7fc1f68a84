"""What the dataflows know: minutes, duplicates, watermarks, books. No Bytewax, no I/O."""
