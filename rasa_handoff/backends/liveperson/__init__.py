"""LivePerson messaging: conversations as a consumer over the Connector API."""
