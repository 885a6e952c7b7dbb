"""Clusters as processes of one machine."""
