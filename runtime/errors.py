"""What can go wrong in the shared runtime. Every message says what to do and never carries health information."""


class VigilRuntimeError(Exception):
    """Base of the errors that `runtime` raises on purpose."""


class SettingsError(VigilRuntimeError):
    """A setting, or a file that a setting names, cannot be used as it is."""


class UnknownPlaceholder(SettingsError):
    """A URL of a policy or practice names a host that the settings do not know."""

    def __init__(self, name: str, known: list[str]) -> None:
        self.name = name
        super().__init__(
            f"A URL uses the placeholder {{{name}}}, which no setting fills. "
            f"Set VIGIL_HOSTS__{name.upper()} to a base URL (known: {', '.join(known) or 'none'})."
        )


class MissingSecret(SettingsError):
    """A secret that a connector or door needs was not supplied."""

    def __init__(self, name: str, variable: str, file: str) -> None:
        self.name = name
        super().__init__(f'The secret "{name}" is not set. Add it to {file} (mode 0600) or set {variable}.')


class PracticesError(SettingsError):
    """The practices file cannot be used; the message names the file, the field and the remedy."""


class KeyRingError(VigilRuntimeError):
    """The keys cannot be loaded, or must not be created."""


class UnknownKey(KeyRingError):
    """Something was sealed with a key that this ring does not hold."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        super().__init__(
            f'Sealed with the key "{key_id}", which is not in the key ring. '
            "Restore the backup of the keys that holds it."
        )


class SealBroken(KeyRingError):
    """Sealed data was altered, cut short, or belongs to something else than it was opened for."""


class PracticeMismatch(SealBroken):
    """A payload of one practice (or case) turned up where another's is expected."""


class PracticeUnknown(VigilRuntimeError):
    """A case's payload is to be sealed, and nothing says whose it is."""


class ServerNotStarted(VigilRuntimeError):
    """An embedded server did not start; the message names its log, or the port and the setting."""


class AlreadyRunning(VigilRuntimeError):
    """Another process keeps this home's embedded server."""


class AnswerTooLarge(VigilRuntimeError):
    """An outside system answered with more than the limit; the rest was not read."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"The answer is larger than {limit} bytes and was not read to its end.")
