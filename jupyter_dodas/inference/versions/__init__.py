"""Versions of models as files: what is uploaded, unpacked, kept and published."""
