"""The channel of Rasa X and Rasa Enterprise: Rasa's ``rest`` with users who have signed in."""

from __future__ import annotations

from rasa_handoff.channels.base import Traits
from rasa_handoff.channels.rest import Rest


class RasaChat(Rest):
    traits = Traits(
        name="rasa",
        push="no: what waits comes with the user's next request",
        hears=("image", "file", "audio", "video", "location"),
        shows=("image", "file", "buttons", "cards"),
        needs=("Attachments of users in `metadata.attachments`, see docs/http.md.",),
        sources=("https://rasa.com/docs/rasa-enterprise/",),
    )
