"""Real servers and rude clients, for tests and benchmarks alike."""
