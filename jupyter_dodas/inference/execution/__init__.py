"""Predictions: what waits for a version of a model, and the isolated process that computes it."""
