"""The agent system that comes with the package: a backend, an API for agents, a web console."""
