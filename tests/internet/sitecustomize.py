"""Python runs this at its start where the folder is on its path: every name leads to the server of `Internet`."""

import os
import socket

import aiohttp.resolver
import certifi
from internet_names import Names

_names = Names(int(os.environ["INTERNET_PORT"]))
socket.getaddrinfo = _names.look_up
aiohttp.resolver.ThreadedResolver.resolve = _names.resolver()  # type: ignore[method-assign]
certifi.where = lambda: os.environ["INTERNET_AUTHORITY"]
