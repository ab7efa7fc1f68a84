"""The HTTP interface to what the dataflows wrote to PostgreSQL."""
