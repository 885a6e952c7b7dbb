"""Spark: a standalone master and workers, and their sessions."""
