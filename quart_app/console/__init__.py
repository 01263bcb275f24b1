"""What the operator's console shows and does: every job, what is told of one, and what is done with many."""
