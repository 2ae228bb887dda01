"""How previewed messages reach the terminal, a pipe or a file: messages to standard output, what to know of them beside it."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from connectors.packet import Packet
from console.errors import CommandFailed
from console.messages import Shown, on_lines, packet_text


def print_messages(messages: Sequence[Shown], output: Path | None, *, raw: bool | None) -> None:
    """Print messages; packets are written to `output` where it is given (numbered, where there are several).

    X12 goes out as it is (`raw`), or one line a segment; where `raw` is None, as it is unless a person reads it.

    Raises:
        CommandFailed: `output` cannot be written, or there is no packet to write.
    """
    if output is not None and not any(isinstance(one.content, Packet) for one in messages):
        raise CommandFailed(
            "Only a packet (fax, portal, phone, direct) is written to a file. Redirect the output.", code=2
        )
    said = [one.content for one in messages if isinstance(one.content, dict)]
    if said:
        typer.echo(json.dumps(said[0] if len(said) == 1 else said, indent=2, ensure_ascii=False))
    for place, one in enumerate(messages):
        match one.content:
            case bytes() as x12 if raw or (raw is None and not sys.stdout.isatty()):
                typer.echo(x12, nl=False)
            case bytes() as x12:
                typer.echo(on_lines(x12), nl=False)
            case Packet() as packet:
                _print_packet(one, packet, _numbered(output, place) if output else None)
    for note in dict.fromkeys(note for one in messages for note in one.notes):
        typer.echo(note, err=True)


def _print_packet(shown: Shown, packet: Packet, output: Path | None) -> None:
    for words in shown.words:
        typer.echo(words)
    if output is None:
        typer.echo("\n" + packet_text(packet))
        return
    try:
        output.write_bytes(packet.content)
    except OSError as error:
        raise CommandFailed(f"{output} cannot be written: {error.strerror}.") from None
    typer.echo(f"Written to {output}.")


def _numbered(output: Path, place: int) -> Path:
    return output if place == 0 else output.with_stem(f"{output.stem}-{place + 1}")
