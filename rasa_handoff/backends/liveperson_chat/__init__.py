"""LivePerson chat: chats as a visitor over the Server Chat API."""
