"""`marketflow replay`: recorded frames into the raw topics, as they were or as if it were now."""
