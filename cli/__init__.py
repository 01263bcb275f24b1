"""busctl: one file per command."""
