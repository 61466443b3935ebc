"""Batches on machines that misbehave, measured: what is lost, and whether the bits are the same after all.

python -m tests.odd.faults disk         a file system of 1 MB that fills up, and is enlarged (Linux, as root)
python -m tests.odd.faults ray          Ray's workers killed in the middle, again and again
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.batches import command, files_of, make_manifest, make_photos, results_of, start, table

COUPLES, PHOTOS = 24, 12


def _reference(folder: Path) -> tuple[Path, dict[str, str]]:
    """The manifest, and the results of an undisturbed run."""
    manifest = make_manifest(folder / "couples.csv", COUPLES, make_photos(folder / "photos", PHOTOS))
    _run(command(manifest, "undisturbed", "store_of_it"), folder, 0)
    return manifest, results_of(folder / "undisturbed")


def _run(arguments: list[str], folder: Path, *codes: int) -> str:
    out, err = (process := start(arguments, folder)).communicate(timeout=580)
    assert process.returncode in codes, f"exit code {process.returncode}\n{out}\n{err}"
    assert "Traceback" not in err, err
    return err


def disk(folder: Path) -> None:
    """Output and store on a disk that fills up, and is enlarged a little each time the run has stopped."""
    manifest, expected = _reference(folder)
    small = folder / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(small)], check=True)
    try:
        stops = 0
        for kilobytes in range(1024, 100_000, 6000):
            subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(small)], check=True)
            said = _run(command(manifest, small / "out", small / "store"), folder, 0, 1)
            parts = [name for name in files_of(small) if name.endswith(".part")]
            whole = {name: data for name, data in results_of(small / "out").items() if name.startswith("couples/")}
            done = {name.split("/")[1] for name in whole if name.endswith("/done.json")}
            wrong = [n for n, data in whole.items() if n.split("/")[1] in done and expected.get(n) != data]
            assert not wrong, wrong
            if "No space left" not in said:
                break
            stops += 1
            print(f"{kilobytes} kB: {len(done)} of {COUPLES} done, {len(parts)} parts left; {said.strip()[-100:]!r}")
        assert results_of(small / "out") == expected
        print(f"disk: stopped {stops} times, {COUPLES} couples done in the end, the same bits")
    finally:
        subprocess.run(["umount", str(small)], check=True)


def ray(folder: Path) -> None:
    """A worker of Ray's that is computing gets SIGKILL every two seconds, ten times."""
    manifest, expected = _reference(folder)
    more = ("runner=ray", "runner.address=null", "runner.cpus=1", "runner.retries=20", "inversion.steps=3")
    process = start(command(manifest, "ray", "store_of_ray", *more), folder)
    killed = 0
    while process.poll() is None and killed < 10:
        time.sleep(2)
        for pid in _workers(process.pid)[:1]:
            os.kill(pid, signal.SIGKILL)
            killed += 1
    _, err = process.communicate(timeout=580)
    assert process.returncode == 0, err
    failed = sum(row["status"] != "done" for row in table(folder / "ray"))
    same = results_of(folder / "ray") == expected
    print(
        f"ray: {killed} workers killed, {COUPLES} couples, {failed} lost, {'the same bits' if same else 'OTHER BITS'}"
    )
    assert killed
    assert not failed
    assert same


def _workers(root: int) -> list[int]:
    """Ray's workers, below a process, that are at a task of ours."""
    found, below = [], {root}
    for path in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            title = (path / "cmdline").read_bytes()
        except OSError:
            continue
        if parent in below:
            below.add(int(path.name))
            if title.startswith(b"ray::_do"):  # Ray's own agents are called otherwise
                found.append(int(path.name))
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        {"disk": disk, "ray": ray}[sys.argv[1]](Path(temporary))
