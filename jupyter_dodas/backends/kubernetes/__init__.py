"""Clusters as pods of a namespace."""
