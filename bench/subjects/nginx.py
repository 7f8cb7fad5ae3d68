"""nginx, one worker, from Debian: as a proxy (a subject), and as the backend of all."""

from __future__ import annotations

import subprocess

from bench.services import CANARY_WEIGHT, RETRIES, SERVICES, STABLE_WEIGHT, TIMEOUT_SECONDS, Service
from bench.subjects.subject import Subject
from bench.world import RUN, Pod, World, wait_for

STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"

HEAD = """\
{modules}
user root;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
daemon off;
events {{ worker_connections 16384; }}
"""

PATHS = """\
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000; keepalive_timeout 600s;
"""


class Nginx(Subject):
    """As a proxy."""

    title = "nginx"
    program = "nginx"

    def start(self) -> None:
        path = self.folder / "nginx.conf"
        path.write_text(proxy_config(SERVICES, str(self.folder)))
        self.processes = [self.world.start(self.name, ["nginx", "-c", str(path)], pod=self.pod,
                                           core=self.world.proxy_core)]
        wait_for("answer", self.reachable, self.processes[0], self.name)


def proxy_config(services: tuple[Service, ...], folder: str) -> str:
    """nginx.conf with each service behind `proxy_pass`, kept upstream connections and an access log."""
    http = [_server(service) for service in services if not service.opaque]
    stream = [_server(service) for service in services if service.opaque]
    return (
        HEAD.format(modules=f"load_module {STREAM_MODULE};", folder=folder)
        + "http {\n    access_log /dev/null combined;\n" + PATHS.format(folder=folder) + "\n".join(http) + "\n}\n"
        + "stream {\n    log_format short '$remote_addr $status $bytes_sent $session_time';\n"
        + "    access_log /dev/null short;\n" + "\n".join(stream) + "\n}\n"
    )


def _server(service: Service) -> str:
    ends = [(ip, STABLE_WEIGHT) for ip in service.stable]
    ends += [(ip, CANARY_WEIGHT * len(service.stable)) for ip in service.canary]
    servers = " ".join(f"server {ip}:{service.target} weight={weight};" for ip, weight in ends)
    listen = f"listen 127.0.0.1:{service.local};"
    if service.opaque:
        return f"    upstream {service.name} {{ {servers} }}\n    server {{ {listen} proxy_pass {service.name}; }}"
    return f"""\
    upstream {service.name} {{ {servers} keepalive 512; }}
    server {{
        {listen}
        client_max_body_size 0;
        location / {{
            proxy_pass http://{service.name};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_buffers 16 16k;
            proxy_max_temp_file_size 0;
            proxy_request_buffering off;
            proxy_read_timeout {TIMEOUT_SECONDS}s;
            proxy_next_upstream error timeout http_502 http_503;
            proxy_next_upstream_tries {RETRIES + 1};
        }}
    }}"""


def backend_config(folder: str, *listen: str) -> str:
    """The backend: / answers 3 bytes, /ids/ the same with an id that never comes again; files are in memory, and sent
    by sendfile.
    """
    listens = " ".join(f"listen {address} backlog=4096;" for address in listen)
    return HEAD.format(modules="", folder=folder) + f"""\
http {{
    access_log off; sendfile on; tcp_nodelay on; default_type text/plain;
{PATHS.format(folder=folder)}
    server {{
        {listens}
        root {folder}/files;
        location = / {{ return 200 "ok\\n"; }}
        location /ids/ {{ add_header X-Request-Id $request_id; return 200 "ok\\n"; }}
    }}
}}
"""


def start_backend(world: World, name: str, *listen: str, pod: Pod | None = None) -> subprocess.Popen[bytes]:
    """Start the backend on the node, or in a pod; it answers when this returns."""
    folder = RUN / name
    files = folder / "files"
    files.mkdir(parents=True)
    for file, size in (("10k", 10_000), ("1m", 1 << 20), ("64m", 64 << 20)):
        pattern = bytes(range(32, 127)) * (size // 95 + 1)
        (files / file).write_bytes(pattern[:size])
    (folder / "nginx.conf").write_text(backend_config(str(folder), *listen))
    process = world.start(name, ["nginx", "-c", f"{folder}/nginx.conf"], pod=pod, core=world.client_core)
    wait_for("pid file", (folder / "nginx.pid").exists, process, name)
    return process
