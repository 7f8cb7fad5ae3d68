"""external keeps the contract of policies, also when nobody answers: port 1 of loopback refuses connections."""

from tulle_plugin_api.contract import PolicyContract


class TestContract(PolicyContract):
    plugin = "external"
    bound = 500  # it remembers nobody, and a call for each stranger takes its time
    configs = (
        {"address": "127.0.0.1:1", "side": "client", "config": {"tier": "gold"}, "headers": ["x-user"]},
        {"address": "127.0.0.1:1", "side": "client", "on_failure": "open", "timeout": "1s"},
        {"address": "[::1]:1"},
    )
    refused = (
        {"address": "nowhere"},
        {"address": "http://judge:9000"},
        {"address": "judge:0"},
        {"address": "judge:9000", "timeout": "0s"},
        {"address": "judge:9000", "timeout": "291s"},
        {"address": "judge:9000", "headers": ["x user"]},
    )
