"""Sanic routes: the actions' API, vendor webhooks, the user's own stream, health."""
