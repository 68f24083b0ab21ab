"""qsub, qstat, qselect, qsig and qdel of OpenPBS as far as the program uses them.

`python fake_pbs.py FOLDER PROGRAM ARGUMENTS...`; jobs are processes of this machine, and FOLDER
holds a folder for each. What a test wants to go wrong is a file in FOLDER.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = ("qsub", "qstat", "qselect", "qsig", "qdel")


def qsub(folder: Path, script: str) -> None:
    if (folder / "refuse").exists():
        sys.exit((folder / "refuse").read_text())
    text = Path(script).read_text()
    name = re.search(r"(?m)^#PBS -N (.*)$", text)[1]
    found = re.search(r"(?m)^#PBS -J 0-(\d+)", text)
    number = len(list(folder.glob("job-*"))) + 1
    job = folder / f"job-{number}"
    job.mkdir()
    (job / "name").write_text(name)
    for index in range(int(found[1]) + 1 if found else 1):
        environment = {**os.environ, "PBS_ARRAY_INDEX": str(index)}
        if not found:
            del environment["PBS_ARRAY_INDEX"]
        code = f'bash "$0" & echo $! >{index}.pid; wait $!; echo $? >{index}.status'
        process = subprocess.Popen(
            ["sh", "-c", code, script],
            cwd=job,
            env=environment,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        (job / f"{index}.session").write_text(str(process.pid))
    (job / "array").write_text("[]" if found else "")
    while (folder / "hang").exists():
        time.sleep(0.05)
    print(f"{number}{'[]' if found else ''}.server")


def qstat(folder: Path, _: str, job_id: str) -> None:
    job = _job(folder, job_id)
    array = (job / "array").read_text() == "[]"
    number = job.name.removeprefix("job-")
    if array:
        print(f"Job Id: {number}[].server\n    job_state = B\n    array = True\n")
    for pid in sorted(job.glob("*.pid")):
        index = pid.stem
        print(f"Job Id: {number}{f'[{index}]' if array else ''}.server")
        print(f"    Job_Name = {(job / 'name').read_text()}")
        status = job / f"{index}.status"
        if status.exists():
            print(f"    job_state = {'X' if array else 'F'}")
            print(f"    Exit_status = {status.read_text().strip()}")
        else:
            print("    job_state = R\n    exec_host = node1/0*2+node\n\t2/0")
        print()


def qselect(folder: Path, *words: str) -> None:
    for job in folder.glob("job-*"):
        if (job / "name").read_text() == words[-1]:
            print(f"{job.name.removeprefix('job-')}{(job / 'array').read_text()}.server")


def qsig(folder: Path, _: str, number: str, job_id: str) -> None:
    index = re.search(r"\[(\d+)\]", job_id)
    pid = _job(folder, job_id) / f"{index[1] if index else 0}.pid"
    os.kill(int(pid.read_text()), getattr(signal, number))


def qdel(folder: Path, job_id: str) -> None:
    qsig(folder, "-s", "SIGTERM", job_id)


def _job(folder: Path, job_id: str) -> Path:
    job = folder / f"job-{re.match('[0-9]+', job_id)[0]}"
    if not job.exists():
        sys.exit(f"qstat: Unknown Job Id {job_id}")
    return job


def end_all(folder: Path) -> None:
    """Leave no process behind, whatever a test made of it."""
    for path in folder.glob("job-*/*.session"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(path.read_text()), signal.SIGKILL)


def install(folder: Path) -> Path:
    """The folder to put on PATH."""
    (folder / "bin").mkdir(parents=True)
    for name in PROGRAMS:
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -S {__file__} {folder} {name} "$@"\n')
        program.chmod(0o755)
    return folder / "bin"


if __name__ == "__main__":
    globals()[sys.argv[2]](Path(sys.argv[1]), *sys.argv[3:])
