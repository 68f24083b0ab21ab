"""Makes a folder of wheels for `gpu_suite.py`, to be carried to a GPU machine without network.

    python -m pip list --format=freeze > there.txt      # on that machine
    python benchmarks/gpu_bundle.py wheels --there there.txt --python 3.12

The wheels are those of the program's own packages and of TRL that the machine lacks, with all that
they need in turn, for Linux on x86-64. Packages of the terminal interface are left out. torch,
vllm and flash-attn are too large to carry. On the machine, from the checkout:

    python -m pip install --no-index --no-deps --target site wheels/*.whl
    PYTHONPATH=site python benchmarks/gpu_suite.py
"""

import argparse
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from email.parser import Parser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).parents[1]
PEERS = ("trl", "datasets", "liger-kernel")
LEFT_OUT = frozenset({"textual"})
# what every image that trains with transformers has, for whoever gives no list
_ALWAYS = (
    *("torch", "triton", "transformers", "accelerate", "tokenizers", "safetensors", "numpy"),
    *("huggingface-hub", "packaging", "pyyaml", "regex", "tqdm", "filelock", "requests", "fsspec"),
    *("jinja2", "markupsafe", "sympy", "mpmath", "networkx", "typing-extensions", "psutil"),
)
_GLIBC = range(39, 16, -1)  # pip wants each manylinux tag by name


def main() -> None:
    """Download, say how large it is, and what the machine must have."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the wheels go")
    parser.add_argument("--there", type=Path, help="what the machine has, by pip list")
    parser.add_argument("--python", default="3.12", help="Python of that machine")
    parser.add_argument("--without", action="append", default=[], help="a peer to leave out")
    given = parser.parse_args()
    there = names_there(given.there)
    given.folder.mkdir(parents=True, exist_ok=True)
    peers = [Requirement(name) for name in PEERS if name not in given.without]
    wheels = gather([*own_requirements(), *peers], there, given.folder, given.python)
    total = 0
    for wheel in sorted(wheels.values(), key=lambda path: -path.stat().st_size):
        total += wheel.stat().st_size
        print(f"{wheel.stat().st_size / 2**20:7.2f} MiB  {wheel.name}")
    print(f"{total / 2**20:7.2f} MiB  in {len(wheels)} wheels in {given.folder}")


def names_there(path: Path | None) -> set[str]:
    """Canonical names of what the machine has."""
    lines = list(_ALWAYS) if path is None else path.read_text(encoding="utf-8").splitlines()
    names = (line.partition("==")[0].partition(" @ ")[0].strip() for line in lines)
    return {canonicalize_name(name) for name in names if name}


def own_requirements() -> list[Requirement]:
    """The program's dependencies, as pyproject.toml has them."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        wanted = map(Requirement, tomllib.load(file)["project"]["dependencies"])
        return [one for one in wanted if one.name not in LEFT_OUT]


def gather(
    wanted: Sequence[Requirement], there: set[str], folder: Path, python: str
) -> Mapping[str, Path]:
    """Download what is wanted and not there, and what that needs in turn.

    Returns:
        Canonical name -> wheel.
    """
    found: dict[str, Path] = {}
    waiting = list(wanted)
    while waiting:
        one = waiting.pop(0)
        name = canonicalize_name(one.name)
        if name in there or name in found:
            continue
        found[name] = download(one, folder, python)
        waiting += needs(found[name], python)
    return found


def download(wanted: Requirement, folder: Path, python: str) -> Path:
    """One wheel; built here where only source is offered, which must then be pure Python.

    Raises:
        SystemExit: there is no wheel for that machine.
    """
    what = f"{wanted.name}{wanted.specifier}"
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in _GLIBC]
    platforms += ["manylinux2014_x86_64", "manylinux1_x86_64"]
    tags = [word for platform in platforms for word in ("--platform", platform)]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offered = ["download", "--no-deps", "--only-binary=:all:", "--python-version", python]
    ended = subprocess.run(
        [*pip, *offered, "--implementation", "cp", *tags, "-d", str(folder), what],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ended.returncode:
        subprocess.run([*pip, "wheel", "--no-deps", "-w", str(folder), what], check=True)
    wheels = [
        path for path in folder.glob("*.whl") if _name(path) == canonicalize_name(wanted.name)
    ]
    newest = max(wheels, key=lambda path: path.stat().st_mtime)
    if ended.returncode and not newest.name.endswith("-none-any.whl"):
        raise SystemExit(f"{what} has no wheel for that machine: {ended.stderr.strip()[-300:]}")
    return newest


def needs(wheel: Path, python: str) -> Iterator[Requirement]:
    """What a wheel asks for on that machine, without extras."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        text = archive.read(name).decode("utf-8")
    machine = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
        "extra": "",
    }
    for line in Parser().parsestr(text).get_all("Requires-Dist") or ():
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate(machine):
            yield wanted


def _name(path: Path) -> str:
    return str(parse_wheel_filename(path.name)[0])


if __name__ == "__main__":
    main()
