"""The channels: a file each."""
