"""One client's WebSocket: who comes in, what it is sent, how it goes."""
