"""Whether LivePerson knows the account, and lets the bot in as an agent."""

from __future__ import annotations

from rasa_handoff.backends.http import Http
from rasa_handoff.backends.liveperson.domains import Domains
from rasa_handoff.errors import BackendError, TemporaryError
from rasa_handoff.liveperson_agent.session import SERVICE, SIGN_IN, WHO, Session
from rasa_handoff.liveperson_agent.settings import CHANNEL, PAGE, ChannelSettings


async def probe(settings: ChannelSettings) -> str:
    """Look for the account's host and sign in there; what is to be said of it.

    No agent session is begun, so nothing rings. Nor is anybody signed out: that would send the chats of a bot which
    runs elsewhere back to the queue.
    https://developers.liveperson.com/chat-agent-api-methods-retrieve-chat-sessions.html (read 2026-11)

    Raises:
        BackendError: they do not; `remedy` says what to do.
    """
    http = Http(WHO)
    try:
        domains = Domains(http, settings.account, settings.domain_api)
        await domains.get(SERVICE)
        await Session(http, domains, settings).log_in()
    finally:
        await http.close()
    return f"knows the account, and lets {settings.username} in"


def remedy(error: BackendError) -> str:
    """What to do about what `probe` raised."""
    if isinstance(error, TemporaryError):
        return "Try again in a few minutes, and see that this machine may speak to LivePerson over HTTPS."
    if error.doing == SIGN_IN:
        return (
            f"See username and password, or app_key and secret, in {CHANNEL} in credentials.yml; app_key needs a user "
            f"of the type bot ({PAGE}). LivePerson locks users who try too often."
        )
    return f"See account in {CHANNEL} in credentials.yml: the number of an account that is on chat ({PAGE})."
