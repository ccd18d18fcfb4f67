"""A local server of ranges that notes every request, and misbehaves where a path says so.

It runs as a process of its own, for GDAL may keep this one's interpreter locked while it waits, and
ends when its standard input does. The first folder of a path may say how to answer:

* ``status-404``: with this status;
* ``busy-2``: 503 to the first two requests for the path;
* ``stall``: half of a range beyond the header, then nothing, as often as :meth:`Server.stall` says;
* ``silent``: nothing at all;
* ``whole``: the whole file, whatever was asked for;
* ``headless``: 403 to HEAD, as where a signature holds for GET alone;
* ``moved``: look elsewhere.
"""

import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import PIPE, Popen
from urllib.parse import urlsplit

#: Seconds after which an answer that never comes is given up.
PATIENCE = 20

WAYS = re.compile(r'/(status|busy|stall|silent|whole|headless|moved)(?:-(\d+))?(/.*)')


@dataclass(frozen=True)
class Request:
    """What was asked for, over which connection, and how much was sent."""

    method: str
    path: str
    range: str
    status: int
    size: int
    port: int
    at: float


@dataclass
class Server:
    """A running server."""

    address: str
    folder: Path
    log: Path
    read: int = 0

    def stall(self, times: int) -> int:
        """Say how often to stall from now on, and return how often was left."""
        return _replace(self.folder / 'stall', lambda _: times)

    def asked(self) -> list[Request]:
        """Return the requests since this was asked last."""
        lines = self.log.read_text().splitlines()
        new, self.read = lines[self.read :], len(lines)
        return [Request(**json.loads(line)) for line in new]


def _replace(file: Path, change: Callable[[int], int]) -> int:
    """Change the number in a file, and return what it was; 0 where there was none."""
    before = int(file.read_text()) if file.exists() else 0
    file.write_text(str(change(before)))
    return before


@contextmanager
def serving(folder: Path, log: Path) -> Iterator[Server]:
    """Serve a folder.

    Args:
        folder: What to serve.
        log: Where the server notes requests.
    """
    command = [sys.executable, __file__, str(folder), str(log)]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        try:
            assert process.stdout
            yield Server(process.stdout.readline().strip(), folder, log)
        finally:
            process.terminate()


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = 'HTTP/1.1'
    folder: Path
    log: Path
    lock = threading.Lock()
    counts: Counter[str] = Counter()

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        way = WAYS.fullmatch(self.path)
        kind, number, path = way.groups() if way else ('', None, self.path)
        wanted = re.fullmatch(r'bytes=(\d+)-(\d+)', self.headers.get('Range', ''))
        with self.lock:
            self.counts[self.path] += 1
            early = self.counts[self.path] <= int(number or 0)
        file = self.folder / urlsplit(path).path[1:]
        if kind == 'silent':
            self.note(0)
            time.sleep(PATIENCE)
        elif kind == 'moved':
            self.reply(302, {'Location': path})
        elif kind == 'headless' and self.command == 'HEAD':
            self.reply(403)
        elif kind == 'status' or (kind == 'busy' and early) or not file.is_file():
            self.reply(503 if kind == 'busy' else int(number or 404))
        else:
            asked = wanted if kind != 'whole' else None
            beyond = wanted and wanted[1] != '0'
            self.send(file, asked, bool(kind == 'stall' and beyond and self.stalls()))

    def stalls(self) -> bool:
        with self.lock:
            return _replace(self.folder / 'stall', lambda left: max(0, left - 1)) > 0

    def send(self, file: Path, wanted: re.Match[str] | None, stall: bool) -> None:
        """Send a file or a range of it; only its first half where it is to stall."""
        status, size = file.stat(), file.stat().st_size
        start, stop = (int(wanted[1]), min(int(wanted[2]) + 1, size)) if wanted else (0, size)
        headers = {'ETag': f'"{status.st_mtime_ns:x}"', 'Content-Length': str(stop - start)}
        if file.parent.name != 'undated':
            headers['Last-Modified'] = formatdate(status.st_mtime, usegmt=True)
        if wanted:
            headers['Content-Range'] = f'bytes {start}-{stop - 1}/{size}'
        self.reply(206 if wanted else 200, headers, stop - start)
        if self.command == 'GET':
            with file.open('rb') as source:
                source.seek(start)
                self.wfile.write(source.read((stop - start) // (2 if stall else 1)))
        if stall:
            time.sleep(PATIENCE)

    def reply(self, status: int, headers: dict[str, str] | None = None, size: int = 0) -> None:
        self.note(status, size if self.command == 'GET' else 0)
        self.send_response_only(status)
        for header in ({'Content-Length': '0'} | (headers or {})).items():
            self.send_header(*header)
        self.end_headers()

    def note(self, status: int, size: int = 0) -> None:
        """Note a request, before it is answered: who asked may look at once."""
        what = self.command, self.path, self.headers.get('Range', '')
        asked = Request(*what, status, size, self.client_address[1], time.monotonic())
        with self.lock, self.log.open('a') as out:
            out.write(json.dumps(vars(asked)) + '\n')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Listener(ThreadingHTTPServer):
    """Takes many connections at once."""

    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Let clients hang up."""


def main(folder: str, log: str) -> None:
    Handler.folder, Handler.log = Path(folder), Path(log)
    Handler.log.touch()
    listener = Listener(('127.0.0.1', 0), Handler)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    print(f'http://127.0.0.1:{listener.server_port}', flush=True)
    sys.stdin.read()


if __name__ == '__main__':
    main(*sys.argv[1:])
