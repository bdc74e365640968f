"""A bot as one of LivePerson's agents: it takes chats from the queue, and transfers them to people."""
