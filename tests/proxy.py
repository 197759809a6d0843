"""A real nginx in front of a server, with the lines of docs/deployment.md and a cache.

The cache obeys what answers say; an answer that says nothing is kept too. Nothing but the address
tells one entry from another.
"""

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTATION = ROOT / "docs" / "deployment.md"
CONFIGURATION = """
daemon off;
{user}
worker_processes 1;
pid {folder}/pid;
error_log stderr error;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache keys_zone=pages:1m;
    server {{
        listen 127.0.0.1:{port};
        proxy_cache pages;
        proxy_cache_key $request_uri;
        proxy_cache_valid any 10m;
        add_header X-Cache $upstream_cache_status always;
        {documented}
    }}
}}
"""


def nginx() -> str | None:
    """The program, if there is one on this machine."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def documented(server: str, files: str) -> str:
    """The lines that the documentation gives, for this server and this folder of attachments."""
    (lines,) = re.findall(r"```nginx\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    for example, real in {
        "http://127.0.0.1:8000;": f"{server};",
        "/srv/helpcenter/var/attachments/;": f"{files}/;",
    }.items():
        assert lines.count(example) == 1, f"docs/deployment.md no longer says {example}"
        lines = lines.replace(example, real)
    return lines


@contextmanager
def proxy(server: str, files: str) -> Iterator[str]:
    """The address (host:port) of nginx in front of the server, until the block ends."""
    program = nginx()
    assert program
    with tempfile.TemporaryDirectory(prefix="helpcenter-nginx-") as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        # Its workers would become somebody else, who cannot read the files.
        user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
        configuration = Path(folder, "nginx.conf")
        configuration.write_text(
            CONFIGURATION.format(
                folder=folder, port=port, user=user, documented=documented(server, files)
            )
        )
        process = subprocess.Popen([program, "-e", "stderr", "-c", configuration])
        try:
            _wait_for(process, port)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(process: subprocess.Popen, port: int) -> None:
    for _ in range(200):
        assert process.poll() is None, "nginx has ended; its messages are above."
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("nginx does not answer")
