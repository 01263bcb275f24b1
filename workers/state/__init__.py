"""How a system stands: what NATS, Redis, workers and web processes say of themselves, each within a deadline.

Nothing here is changed by looking. What does not answer is told of, and never raises.
"""
