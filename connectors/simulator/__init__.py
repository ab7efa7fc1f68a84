"""The ten exchanges on loopback: one seeded market model, spoken in ten dialects."""
