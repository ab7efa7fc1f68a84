"""The exchanges' REST interfaces."""
