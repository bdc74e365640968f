"""LiveChat: chats as a customer over the Customer Chat Web API."""
