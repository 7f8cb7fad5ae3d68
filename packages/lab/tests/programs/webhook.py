"""A webhook for tests: HTTPS on 8443, certificate and key from /tls. Writes each review to stdout, and answers by rule.

/mutate adds a sidecar, and refuses a pod labelled refuse=yes; /validate refuses a MeshPolicy of type "nonsense".
"""

import base64
import http.server
import json
import os
import ssl
import sys

SIDECAR = {
    "name": "tulle-proxy",
    "image": "python",
    "restartPolicy": "Always",
    "args": ["-c", "import signal; signal.pause()"],
    "startupProbe": {"exec": {"command": ["true"]}},
}
PATCH = [
    {"op": "add", "path": "/spec/initContainers", "value": [SIDECAR]},
    {"op": "add", "path": "/metadata/annotations/tulle.dev~1injected", "value": "test"},
]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request, response = review["request"], {"allowed": True}
        os.write(
            1, json.dumps({"path": self.path, "host": self.headers["Host"], **review}).encode() + b"\n"
        )  # one write: reviews come at once
        if self.path == "/mutate":
            patch = PATCH
            if "annotations" not in request["object"]["metadata"]:
                patch = [{"op": "add", "path": "/metadata/annotations", "value": {}}, *PATCH]
            response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
            if request["object"]["metadata"].get("labels", {}).get("refuse") == "yes":
                response = {"allowed": False, "status": {"message": "the label says so"}}
        elif request["object"]["spec"].get("type") == "nonsense":
            response = {"allowed": False, "status": {"message": "spec.type: no policy plugin 'nonsense'"}}
        answer = json.dumps(
            {
                "apiVersion": "admission.k8s.io/v1",
                "kind": "AdmissionReview",
                "response": {"uid": request["uid"], **response},
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        print(*args, file=sys.stderr)


server = http.server.ThreadingHTTPServer(("", 8443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/cert.pem", "/tls/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
