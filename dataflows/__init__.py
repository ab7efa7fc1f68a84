"""The dataflows, one module each, started with ``python -m bytewax.run dataflows.<name>``."""
