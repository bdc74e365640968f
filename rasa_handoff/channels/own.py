"""A channel class of the bot's owner, or any other that nothing more is known of than that it can be called.

What such a class has to do is in docs/http.md: put what users attach into ``metadata["attachments"]`` and the
message's own id into ``metadata["message_id"]``, and give an output channel with ``get_output_channel()``.
"""

from __future__ import annotations

from rasa_handoff.channels.base import Channel, Traits


class Own(Channel):
    """A channel with `get_output_channel`."""

    traits = Traits(
        name="(a channel of your own)",
        push="yes: through its get_output_channel()",
        hears=("image", "file", "audio", "video", "location"),
        shows=("image", "buttons", "links to files"),
        needs=("Attachments of users in the message's `metadata.attachments`, see docs/http.md.",),
    )
