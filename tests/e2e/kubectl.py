"""kubectl, as a person has it. Every call is bounded; nothing here sleeps: who waits asks kubectl again."""

import json
import os
import subprocess

CALL_SECONDS = 900
"""Generous: the machine may have much else to do. A thousand pods are one call."""


class Kubectl:
    """kubectl for one kubeconfig. Output is text, or JSON for `get`."""

    def __init__(self, kubeconfig):
        self.environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}

    def said(self, *arguments, given=None):
        """(exit status, stdout, stderr)."""
        text = given if given is None or isinstance(given, str) else json.dumps(given)
        done = subprocess.run(
            ["kubectl", *map(str, arguments)],
            input=text, capture_output=True, text=True, check=False, env=self.environment, timeout=CALL_SECONDS,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def run(self, *arguments, given=None):
        """(exit status, all that it said). What is JSON comes from `get`: warnings may stand before it here."""
        status, output, problems = self.said(*arguments, given=given)
        return status, output + problems

    def __call__(self, *arguments, given=None):
        status, output, problems = self.said(*arguments, given=given)
        assert status == 0, f"kubectl {' '.join(map(str, arguments))}: {output}{problems}"
        return output

    def apply(self, *objects):
        """Apply Python objects."""
        return self("apply", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": list(objects)})

    def get(self, *arguments):
        """A `get` as JSON."""
        return json.loads(self("get", *arguments, "-o", "json"))

    def python(self, namespace, what, container, program, *arguments):
        """What a Python program prints, as JSON, in a container."""
        said = self("-n", namespace, "exec", what, "-c", container, "--", "python", "-c", program, *arguments)
        return json.loads(said)

    def start(self, *arguments, given=None):
        """A kubectl in the background. The caller waits for it."""
        made = subprocess.Popen(
            ["kubectl", *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment,
        )  # fmt: skip
        if given is not None:
            made.stdin.write(json.dumps(given))
            made.stdin.close()
            made.stdin = None
        return made

    def rolled_out(self, namespace, *what, seconds=600):
        """Wait until deployments and the like run what they were told to."""
        for each in what or ("deploy",):
            self("-n", namespace, "rollout", "status", each, f"--timeout={seconds}s")

    def until(self, holds, what, times=300):
        """Ask again until `holds()` is true, and return it; bounded, and each look takes a kubectl."""
        for _ in range(times):
            if answer := holds():
                return answer
        raise AssertionError(f"not within {times} looks: {what}")
