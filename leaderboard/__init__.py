"""Records, statistics, tables."""
