"""The loop that makes what is equal to what was asked."""
