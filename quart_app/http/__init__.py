"""Jobs over HTTP, and their events as Server-Sent Events: for whoever has no WebSocket."""
