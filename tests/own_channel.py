"""A channel such as a bot's owner writes: its own class, its own route, its own way to push."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from rasa.core.channels.channel import InputChannel, OutputChannel, UserMessage
from sanic import Blueprint, response
from sanic.request import Request
from sanic.response import HTTPResponse


class FileOutput(OutputChannel):
    """Writes what the user gets into a file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @classmethod
    def name(cls) -> str:
        return "own"

    async def send_text_message(self, recipient_id: str, text: str, **kwargs: Any) -> None:
        with self.path.open("a") as file:
            file.write(f"{recipient_id}: {text}\n")


class OwnInput(InputChannel):
    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def name(cls) -> str:
        return "own"

    @classmethod
    def from_credentials(cls, credentials: dict[str, Any] | None) -> InputChannel:
        return cls(Path((credentials or {})["path"]))

    def get_output_channel(self) -> OutputChannel:
        return FileOutput(self.path)

    def blueprint(self, on_new_message: Callable[[UserMessage], Awaitable[Any]]) -> Blueprint:
        blueprint = Blueprint("own_webhook", __name__)

        @blueprint.route("/say", methods=["POST"])
        async def say(request: Request) -> HTTPResponse:
            said = request.json
            output = self.get_output_channel()
            message = UserMessage(
                said["text"], output, said["user"], input_channel=self.name(), metadata=said.get("metadata")
            )
            await on_new_message(message)
            return response.text("taken")

        return blueprint
