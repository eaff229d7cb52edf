"""Machines of a test: network namespaces with a cable between two of them, and name files of their own."""

import os
import shutil
import subprocess
import uuid
from pathlib import Path


def missing() -> str | None:
    """Why no namespaces can be made here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need iproute2"
    name = f"probe-{uuid.uuid4().hex[:8]}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode != 0:
        return f"network namespaces are not allowed here: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=False)
    return None


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr.strip()}"
    return done.stdout


class Machine:
    """One namespace. Programs in it see `hosts` as /etc/hosts and `resolver` as their only name server."""

    def __init__(self, directory: Path, name: str, hosts: dict[str, list[str]] | None = None, resolver: str | None = None):
        self.name = f"{name}-{uuid.uuid4().hex[:8]}"
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")
        lines = ["127.0.0.1 localhost", "::1 localhost"]
        lines += [f"{address} {host}" for host, addresses in (hosts or {}).items() for address in addresses]
        files = {
            "hosts": "\n".join(lines) + "\n",
            # Short enough that a test does not wait for threads that still ask.
            "resolv.conf": f"nameserver {resolver or '127.0.0.1'}\noptions timeout:3 attempts:2\n",
            "nsswitch.conf": "hosts: files dns\n",
        }
        self.binds = []
        for file, text in files.items():
            path = directory / f"{self.name}.{file}"
            path.write_text(text)
            if Path("/etc", file).exists():
                self.binds.append(f"mount --bind '{path}' /etc/{file}")

    def ip(self, *arguments):
        return run("ip", "-n", self.name, *arguments)

    def command(self, *command) -> list:
        """The command, in here. The mounts are seen by nobody else and end with it."""
        script = " && ".join([*self.binds, 'exec "$@"'])
        return ["ip", "netns", "exec", self.name, "unshare", "--mount", "sh", "-c", script, "sh", *command]

    def plug(self, other: "Machine", here: list[str], there: list[str]):
        """A cable to `other`: addresses with prefix lengths at either end."""
        tag = uuid.uuid4().hex[:8]
        a, b = f"a{tag}", f"b{tag}"
        run("ip", "link", "add", a, "netns", self.name, "type", "veth", "peer", "name", b, "netns", other.name)
        for machine, port, addresses in ((self, a, here), (other, b, there)):
            for address in addresses:
                machine.ip("address", "add", address, "dev", port, *(["nodad"] if ":" in address else []))
            machine.ip("link", "set", port, "up")
        return a, b

    def swallow(self, other: "Machine", port: str, other_port: str, address: str):
        """What goes to `address`, which is nobody's, is sent to `other`, which drops it without a word."""
        mac = other.ip("-o", "link", "show", other_port).split("link/ether ")[1].split()[0]
        self.ip("neighbour", "replace", address, "lladdr", mac, "dev", port, "nud", "permanent")

    def remove(self):
        subprocess.run(["ip", "netns", "del", self.name], check=False)
