"""What Twilio's tests say: who is who, and what Twilio posts."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import parse_qs

from rasa_handoff.testing.payloads import Payloads
from rasa_handoff.testing.wire import Asked, Wire
from tests.channels.line import Line

PAYLOADS = Payloads(__file__)
ACCOUNT, TOKEN, NUMBER = "ACXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX", "twilio-secret", "+15558675310"
USER, WHATSAPP_USER, WHATSAPP_NUMBER = "+14017122661", "whatsapp:+14017122661", "whatsapp:+14155238886"
MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT}/Messages"
BASIC = f"Basic {b64encode(f'{ACCOUNT}:{TOKEN}'.encode()).decode()}"


async def form(line: Line, wire: Wire, name: str) -> int:
    """A webhook of Twilio's; its media are on *wire*."""
    fields = {key: value.replace("https://api.twilio.com", wire.url) for key, value in PAYLOADS[name].items()}
    status, _ = await line.hook(data=fields)
    return status


def sent(wire: Wire) -> list[dict[str, str]]:
    """What the user was sent."""
    return [fields(each) for each in wire.asked if (each.method, each.path) == ("POST", f"{MESSAGES}.json")]


def fields(asked: Asked) -> dict[str, str]:
    assert asked.headers["authorization"] == BASIC
    return {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
