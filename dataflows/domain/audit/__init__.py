"""The audit: each of our minutes held against the exchange's own kline."""
