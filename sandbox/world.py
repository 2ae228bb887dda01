"""The world: all practices, their clocks, and the file that remembers them across restarts."""

import os
import re
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, Field

from sandbox.clock import wall_now
from sandbox.records import Practice

PRACTICE_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
CLOCK_LIMIT = datetime(2100, 1, 1, tzinfo=UTC)


class Memory(BaseModel):
    """What is written to the state file."""

    counter: int = 1000
    practices: dict[str, Practice] = Field(default_factory=dict)


class World:
    """Holds the memory. One process, one event loop: handlers change it without locks, between awaits."""

    def __init__(self, state_file: Path | None = None) -> None:
        """Begin empty, or with what `state_file` remembers. Raises pydantic.ValidationError when it is damaged."""
        self.state_file = state_file
        self.token_key = secrets.token_bytes(32)
        self.memory = Memory()
        if state_file is not None and state_file.exists():
            self.memory = Memory.model_validate_json(state_file.read_bytes())

    def practice(self, practice_id: str) -> Practice:
        """The practice of that id, made on first sight. Raises ValueError when the id has not the shape of one."""
        if not PRACTICE_ID.match(practice_id):
            raise ValueError("a practice id is 1 to 64 letters, digits, '-' or '_'")
        return self.memory.practices.setdefault(practice_id, Practice(id=practice_id))

    def practices(self) -> list[Practice]:
        """All practices that have been seen."""
        return list(self.memory.practices.values())

    def forget(self, practice_id: str) -> None:
        """Forget a practice wholly, its clock too."""
        self.memory.practices.pop(practice_id, None)

    def next_number(self) -> int:
        """A number that was never given before, in any practice."""
        self.memory.counter += 1
        return self.memory.counter

    def now(self, practice: Practice) -> datetime:
        """The practice's time: wall time moved by the largest lead that was seen; it never goes back."""
        return wall_now() + timedelta(seconds=practice.clock_offset or 0.0)

    def see(self, practice: Practice, instant: datetime) -> bool:
        """Take note of a caller's time. True when it moved the clock on. Raises ValueError when it is absurd."""
        if instant > CLOCK_LIMIT:
            raise ValueError("the sandbox's clock ends with the year 2099")
        offset = (instant - wall_now()).total_seconds()
        if practice.clock_offset is not None and offset <= practice.clock_offset:
            return False
        practice.clock_offset = offset
        return True

    def save(self) -> None:
        """Write the memory to the state file, whole and atomically; nothing to do without a file."""
        if self.state_file is None:
            return
        self.state_file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.state_file.with_suffix(self.state_file.suffix + ".new")
        with fresh.open("wb") as handle:
            handle.write(self.memory.model_dump_json().encode())
            handle.flush()
            os.fsync(handle.fileno())
        fresh.chmod(0o600)
        fresh.replace(self.state_file)
