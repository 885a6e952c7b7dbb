"""The notebook server of one user, started by a hub: hidden from lists and limits, and never started again by itself."""
