"""What happens on a node of Ray: one cell as a process of its own.

Sent to the nodes as it is written here, so it uses nothing but the standard library.
"""

from collections.abc import Mapping, Sequence

# The process of a cell must not outlive the worker that Ray knows of: another node would be told
# to go on with a run that is still at work. Where the worker is gone, its end of the pipe closes.
WARDEN = """
import os, signal, subprocess, sys, threading
child = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL)

def watch():
    while os.read(0, 4096):
        pass
    child.terminate()
    try:
        child.wait(float(sys.argv[1]))
    except subprocess.TimeoutExpired:
        child.kill()

signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
threading.Thread(target=watch, daemon=True).start()
while True:
    try:
        code = child.wait(0.2)
        break
    except subprocess.TimeoutExpired:
        pass
os._exit(code if code >= 0 else 128 - code)
"""


def carry_out(arguments: Sequence[str], warden: str, errand: Mapping[str, object]) -> int:
    """Carry a cell out on this node; its exit code.

    Args:
        arguments: Of this node's interpreter.
        warden: The program that watches over it.
        errand: `directory` to carry it out in, where the node has that; `log` for what it prints;
            `environment` for it; `grace_s`, the seconds it gets to save itself.
    """
    import os
    import subprocess
    import sys

    directory = str(errand["directory"])
    environment = errand["environment"]
    assert isinstance(environment, dict)
    line = [sys.executable, "-S", "-c", warden, str(errand["grace_s"]), sys.executable]
    os.makedirs(os.path.dirname(str(errand["log"])), exist_ok=True)
    with open(str(errand["log"]), "ab") as log:
        process = subprocess.Popen(
            [*line, *arguments],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=directory if os.path.isdir(directory) else None,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        assert process.stdin is not None
        while True:
            try:
                return process.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                continue
            except KeyboardInterrupt:  # that is how Ray cancels a task
                process.stdin.close()
