"""Events on their way to connections: heard once for the process, prepared once for all who get them."""
