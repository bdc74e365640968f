"""The agents whom we have met, by each of their ids: messages name nothing but an id."""

from __future__ import annotations

from rasa_handoff.backends.livechat import reading
from rasa_handoff.model import Json, Person

_MOST = 10_000


class People(dict[str, Person]):
    """Agents by id: webhooks know them by their e-mail address, the customer's API by a hash.

    Args:
        unnamed: what an agent is called whose name they do not say.
    """

    def __init__(self, unnamed: str) -> None:
        super().__init__()
        self.unnamed = unnamed

    def meet(self, chat: Json) -> list[Person]:
        """Remember the agents in *chat* (its ``users``), and give them.

        Raises:
            Malformed: ``users`` is no list.
        """
        found = reading.agents_in(chat, self.unnamed)
        if len(self) > _MOST:
            self.clear()
        self.update(found)
        return list(found.values())
