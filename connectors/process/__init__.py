"""What every process has: environment, clock, logs, metrics, health."""
