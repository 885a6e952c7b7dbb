"""What a process gives up before it opens somebody else's model."""
