"""WebSocket clients behind one small interface, so that no session depends on one library."""
