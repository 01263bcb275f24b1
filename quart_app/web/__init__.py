"""What HTTP shows: pages, documents, health."""
