"""The model of the example bot."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

from rasa_handoff.demo.lines import Filter
from rasa_handoff.demo.options import BOT, DemoError, Options, say
from rasa_handoff.demo.processes import Show, started


async def trained(options: Options) -> Path:
    """The model of the example bot as its files are; trained unless it is there already."""
    models = options.folder / "models"
    model = models / f"{BOT}-{_fingerprint(options.folder / BOT)}.tar.gz"
    if model.is_file():
        return model
    say(options, "Training the example bot, because it is new or its files changed (half a minute)")
    models.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=models) as fresh:
        await _train(options, Path(fresh))
        for old in models.glob(f"{BOT}-*.tar.gz"):
            old.unlink()
        # A model that is there is whole.
        os.replace(Path(fresh) / f"{BOT}.tar.gz", model)
    return model


def _fingerprint(bot: Path) -> str:
    """What a model is made from, in one word."""
    digest = hashlib.sha256()
    for file in sorted([bot / "config.yml", *(bot / "domain").rglob("*.yml"), *(bot / "data").rglob("*.yml")]):
        digest.update(file.relative_to(bot).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


async def _train(options: Options, out: Path) -> None:
    bot = options.folder / BOT
    # fmt: off
    command = [
        "-m", "rasa", "train", "--config", str(bot / "config.yml"), "--domain", str(bot / "domain"),
        "--data", str(bot / "data"), "--out", str(out), "--fixed-model-name", BOT,
    ]
    # fmt: on
    async with started("training", command, options, show=_progress()) as training:
        if await training.process.wait() != 0:
            raise DemoError(f"training failed:\n{await training.last_words()}")


def _progress() -> Show:
    """Show each step of a training, and what went wrong."""
    loud = Filter()

    def show(line: str) -> str | None:
        step = re.search(r"Starting to train component '(\w+)'", line)
        return step[1] if step else loud.show(line)

    return show
