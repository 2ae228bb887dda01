"""What ends a command: a sentence for whoever sits at the terminal, which says what to do."""


class CommandFailed(Exception):
    """A command cannot go on. Shown as it is, without a traceback; carries no health information."""

    def __init__(self, sentence: str, *, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code
