"""Twilio Voice: a call, in which the bot speaks when it is asked.

Rasa's channel answers Twilio's request with what is to be said, and has no other way to a caller. A call has nobody
who reads, and no place for a text that comes a minute later; and to an answer without words it hangs up. So it is
not handed over: who asks for it there is told that nobody is available, and a request to call back can be left.
"""

from __future__ import annotations

from rasa_handoff.channels.base import Traits
from rasa_handoff.channels.rest import Mailbox


class TwilioVoice(Mailbox):
    traits = Traits(
        name="twilio_voice",
        push="no: a call cannot be handed over, because the agent would write and the caller listens",
        spoken=True,
        needs=("A request to call back instead: `action_handoff_callback` works on a call.",),
        limits=(
            "`action_handoff` ends as `unavailable` at once, and the bot keeps the call.",
            "Twilio's own `<Dial>` forwards a call to a person; Rasa's channel does not speak it.",
        ),
        sources=("https://www.twilio.com/docs/voice/twiml/dial",),
    )
