"""Programs that use busctl as a library, one file each."""
