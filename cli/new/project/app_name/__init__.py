"""Jobs, a channel and a page of our own, on busctl."""
