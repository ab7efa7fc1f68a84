"""What people type: the `marketflow` command, one file a command, named like it."""
