"""A fault at every single write of a small run: ``python tests/faults/writes.py [--every N] [--mode MODE]``.

The k-th operation fails (no room, a broken disk, or the process dies there), for every k. What is left must be
whole or absent, what is told one line; and the next run must come to the same as one that nothing befell.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import small
from double import DEAD, DIE, MODES, Disk


def counted(where: Path) -> None:
    """The small run on a disk that holds; what it did with it goes to a file."""
    disk = Disk(where)
    done = where / "done.txt"
    small.run(where, "--jobs", "1", before=disk.install, after=lambda: _write(done, disk.done))


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines))


def faulty(where: Path, k: int, mode: str) -> None:
    """The small run on a disk that fails."""
    small.run(where, "--jobs", "1", before=Disk(where, k, mode).install)


def operations(where: Path) -> list[str]:
    """What an undisturbed run writes, in its order; it is left in the folder for comparison."""
    where.mkdir(parents=True)
    process = small.start(counted, where)
    process.join()
    assert process.exitcode == 0, small.told(where)
    return (where / "done.txt").read_text().split("\n")


def tried(where: Path, k: int, mode: str, undisturbed: Path) -> list[str]:
    """Let the k-th operation fail, and run again; what is wrong, a line each."""
    where.mkdir(parents=True)
    process = small.start(faulty, where, k, mode)
    process.join()
    code, said = process.exitcode, small.told(where)
    wrong = [f"{name} is torn" for name in small.torn(where)]
    if mode == DIE and code != DEAD:
        wrong.append(f"it should have died, and ended with {code}")
    if mode != DIE and (code not in (0, 1, 2) or "Traceback" in said):
        wrong.append(f"it ended with {code}, and said {said}")
    if mode != DIE and code == 2 and f"\n{said}".count("\nerror: ") != 1:
        wrong.append(f"it should have said what was wrong in one line, and said {said}")
    before = small.trainings(where)
    process = small.start(small.run, where, "--jobs", "1")
    process.join()
    if process.exitcode != 0:
        return [*wrong, f"the next run ended with {process.exitcode}: {small.told(where)}"]
    after = small.trainings(where)
    wrong += [f"trained again: {key}" for key, made in before.items() if after.get(key) != made]
    wrong += [f"differs: {line}" for line in small.differences(undisturbed, where)]
    wrong += [f"left: {name}" for name in small.left(where)]
    return wrong


def sites(every: list[str]) -> list[int]:
    """One operation of each place in the code, the middle one."""
    of: dict[str, list[int]] = {}
    for k, one in enumerate(every):
        of.setdefault(one, []).append(k)
    return sorted(ks[len(ks) // 2] for ks in of.values())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="only every N-th operation")
    parser.add_argument("--sites", action="store_true", help="only one operation of each place in the code")
    parser.add_argument("--first", type=int, default=0, help="the operation to begin with")
    parser.add_argument("--last", type=int, default=None, help="the operation to end before")
    parser.add_argument("--mode", choices=MODES, action="append")
    parser.add_argument("--folder", default=None, help="where to do it; in memory is fast")
    given = parser.parse_args(arguments)
    failed, counts = 0, Counter[str]()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        undisturbed = Path(folder) / "undisturbed"
        every = operations(undisturbed)
        kinds = Counter(one.split()[0] for one in every)
        print(f"{len(every)} operations from {len(set(every))} places in the code: {dict(kinds)}", flush=True)
        places = sites(every) if given.sites else list(range(len(every)))
        for k in places[given.first : given.last : given.every]:
            for mode in given.mode or MODES:
                where = Path(folder) / "tried"
                wrong = tried(where, k, mode, undisturbed)
                counts[mode] += 1
                failed += bool(wrong)
                for line in wrong:
                    print(f"{mode} at operation {k} ({every[k]}): {line}", flush=True)
                shutil.rmtree(where)
    print(f"{dict(counts)} faults, {failed} with something wrong, {time.monotonic() - begun:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
