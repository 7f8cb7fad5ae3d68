"""A policy out of process: requests need an API key, and the application is told whose it was.

    python server.py 127.0.0.1:9000

Its settings come from the MeshPolicy (`spec.config.config`): {"keys": {"s3cret": "ann"}}.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from tulle_api.v1 import plugin_pb2, plugin_pb2_grpc


class ApiKeys(plugin_pb2_grpc.ExternalPolicyServicer):
    """One for the whole process: it has one policy at a time."""

    def __init__(self):
        self.keys = {}

    def Check(self, request, context):  # noqa: N802 - the method's name
        """May we work with this configuration?"""
        keys = json.loads(request.config).get("keys")
        if not isinstance(keys, dict) or not keys:
            return plugin_pb2.CheckResponse(problems=['keys: expected names by key, such as {"s3cret": "ann"}'])
        self.keys = keys
        return plugin_pb2.CheckResponse()

    def OnRequest(self, request, context):  # noqa: N802
        """May this request go on?"""
        given = {field.name: field.value for field in request.headers}
        name = self.keys.get(given.get("x-api-key"))
        if name is None:
            return plugin_pb2.OnRequestResponse(answer=plugin_pb2.Answer(status=401, body=b"who are you?\n"))
        said = plugin_pb2.OnRequestResponse()
        go_on = getattr(said, "continue")  # a keyword in Python
        go_on.set_headers.add(name="x-user", value=name)
        go_on.remove_headers.append("x-api-key")
        return said


if __name__ == "__main__":
    server = grpc.server(ThreadPoolExecutor(8))
    plugin_pb2_grpc.add_ExternalPolicyServicer_to_server(ApiKeys(), server)
    port = server.add_insecure_port(sys.argv[1])
    server.start()
    print(port, flush=True)
    server.wait_for_termination()
