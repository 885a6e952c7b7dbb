"""Servers in several processes: replicas that compute for a server, and keep its models."""
