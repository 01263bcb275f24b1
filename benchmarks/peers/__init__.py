"""Servers of other projects that hand one message to many WebSockets. Each is a program of its own."""
