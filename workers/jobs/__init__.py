"""One file per job. Add a file with one `@job` function and it appears in the page and the docs."""
