"""`busctl serve`: Hypercorn through its Python API, with an orderly end."""
