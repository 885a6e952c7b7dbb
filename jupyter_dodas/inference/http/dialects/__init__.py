"""The protocols in which predictions are asked for. Each turns its requests into rows for the one `execution.plane`."""
