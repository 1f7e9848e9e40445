#!/usr/bin/python3
"""Figures of the store of snapshots beside the device's own floor: the same bytes written plainly and synced.

    snapshot.py [--rounds N] [--mebibytes N] [--build DIR] [--output FILE]

Every round measures everything once; a row shows the median of the rounds. Rates are of application bytes. A row `per
processor second` divides by the processor time of all threads, which other programs on the machine disturb less.
Prints one table and writes build/bench/snapshot.json in the form of run.py.
"""
import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys

import run

ROOT = pathlib.Path(__file__).resolve().parent.parent

# (name, arguments of bench_snapshot behind the size, key of its answer, unit, goal, is the floor a yardstick for it)
ROWS = (
    ('write lz4, text, one thread', ('lz4', 0, 0, 'text'), 'write_mb_s', 'MB/s', 500, True),
    ('write lz4, text, per processor second', ('lz4', 0, 0, 'text'), 'write_mb_cpu_s', 'MB/s', 500, False),
    ('read lz4, text, one thread, cached', ('lz4', 0, 0, 'text'), 'read_mb_s', 'MB/s', 1000, False),
    ('read lz4, text, per processor second', ('lz4', 0, 0, 'text'), 'read_mb_cpu_s', 'MB/s', 1000, False),
    ('write zstd 3, text, two workers', ('zstd', 3, 2, 'text'), 'write_mb_s', 'MB/s', 250, True),
    ('write zstd 3, text, per processor second', ('zstd', 3, 2, 'text'), 'write_mb_cpu_s', 'MB/s', None, False),
    ('zstd 3, text: smaller by', ('zstd', 3, 2, 'text'), 'smaller_percent', '%', 60, False),
    ('lz4, text: smaller by', ('lz4', 0, 0, 'text'), 'smaller_percent', '%', None, False),
    ('write lz4, noise, one thread', ('lz4', 0, 0, 'noise'), 'write_mb_s', 'MB/s', None, True),
    ('read lz4, noise, one thread, cached', ('lz4', 0, 0, 'noise'), 'read_mb_s', 'MB/s', None, False),
    ('write plain, noise, one thread', ('none', 0, 0, 'noise'), 'write_mb_s', 'MB/s', None, True),
    ('memory over idle, zstd, two workers', ('zstd', 3, 2, 'text'), 'memory_over_idle_kib', 'KiB', 65536, False),
)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=3, help='default 3')
    parser.add_argument('--mebibytes', type=int, default=1024, help='of application bytes (default 1024)')
    parser.add_argument('--build', default=str(ROOT / 'build' / 'release'), help='where the program is')
    parser.add_argument('--output', default=str(ROOT / 'build' / 'bench' / 'snapshot.json'))
    return parser.parse_args(arguments)


def measure(options, folder):
    """{arguments: [answer, …]}"""
    answers = {}
    for number in range(options.rounds):
        run.say(f'round {number + 1} of {options.rounds}')
        for arguments in dict.fromkeys(row[1] for row in ROWS):
            command = [pathlib.Path(options.build) / 'bench_snapshot', folder, options.mebibytes, *arguments]
            done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise SystemExit(f'error: bench_snapshot: {done.stderr.strip()}')
            answers.setdefault(arguments, []).append(json.loads(done.stdout))
    return answers


def main():
    options = parse(sys.argv[1:])
    output = pathlib.Path(options.output)
    folder = output.parent / 'snapshot-data'
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        answers = measure(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows = []
    for name, arguments, key, unit, goal, has_floor in ROWS:
        def median(which, of=answers[arguments]):
            return statistics.median(answer[which] for answer in of)
        rows.append({'name': f'snapshot {name}', 'unit': unit, 'ours': run.rounded(median(key)), 'peers': {},
                     'floor': run.rounded(median('floor_mb_s')) if has_floor else None, 'goal': goal,
                     'goal_is': 'max' if unit == 'KiB' else 'min', 'rounds': options.rounds})
    output.write_text(json.dumps({'machine': run.machine(output.parent), 'rows': rows}, indent=1, ensure_ascii=False)
                      + '\n', encoding='utf-8')
    print('\n'.join(run.table(rows)))
    run.say(f'written: {output}')


if __name__ == '__main__':
    main()
