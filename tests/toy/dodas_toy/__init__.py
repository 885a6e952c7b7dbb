"""A small kind of cluster that comes from another package: a hub, and drones that do its work."""
