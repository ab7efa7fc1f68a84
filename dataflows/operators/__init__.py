"""The project's own operators, each a thin shell of Bytewax around plain Python.

Bytewax's own windows are not used: their ``EventClock`` declares the backlog of a restart late,
opens closed windows again with partial results, and spins while it waits. Here the watermark
comes with the data, from the partition that was read, and state is never given up early.
"""
