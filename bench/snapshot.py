#!/usr/bin/python3
"""Figures of snapshots: the store of them beside the device's own floor (the same bytes written plainly and synced), and
snapshots in the life of a node beside redis-server with the same keys.

    snapshot.py [--rounds N] [--mebibytes N] [--keys N] [--only store,node,large] [--build DIR] [--output FILE]

Every round measures the store once; a row shows the median of the rounds. The rows of a node are measured once. `large`
is one snapshot of at least 4 GiB and takes some minutes, 8 GiB of memory and of the device; it is not among what runs
unless it is named. Rates are of application bytes. A row `per processor second` divides by the processor time of all threads, which other
programs on the machine disturb less. Prints one table and writes build/bench/snapshot.json in the form of run.py.
"""
import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys

import run
import snapshot_node

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

# (name, key of what snapshot_node found, unit, goal, is the goal the most or the least, the key of redis-server)
NODE_ROWS = (
    ('node: a snapshot, per GiB', 'take_gib_s', 's', 4, 'max', 'redis_take_gib_s'),
    ('node: processor time of that', 'take_processor_gib_s', 's', None, 'max', None),
    ('node: memory over idle meanwhile', 'memory_kib', 'KiB', 65536, 'max', None),
    ('node: a snapshot under load, the whole', 'take_under_load_s', 's', None, 'max', None),
    ('node: writes stand still for the cut', 'pause_us', 'µs', 1000, 'max', None),
    ('node: p99 of writes, without a snapshot', 'p99_without_ms', 'ms', None, 'max', 'redis_p99_without_ms'),
    ('node: p99 of writes, during one', 'p99_with_ms', 'ms', None, 'max', 'redis_p99_with_ms'),
    ('node: the second, as a multiple of the first', 'p99_ratio', '×', 2, 'max', 'redis_p99_ratio'),
    ('node: start, killed: snapshot and tail of the log', 'restart_killed_s', 's', 10, 'max', None),
    ('node: processor time of that', 'restart_processor_s', 's', None, 'max', None),
    ('node: entries replayed then', 'restart_killed_entries', 'entries', None, 'max', None),
    ('node: start after a clean stop', 'restart_clean_s', 's', 10, 'max', None),
    ('node: entries replayed after a clean stop', 'restart_clean_entries', 'entries', 0, 'max', None),
    ('node: install on another node, per GiB', 'install_gib_s', 's', 8, 'max', None),
    ('node: p99 of writes meanwhile', 'p99_install_ms', 'ms', None, 'max', None),
)

# The same of the one large snapshot.
LARGE_ROWS = (
    ('large: application bytes of the snapshot', 'large_gib', 'GiB', snapshot_node.LARGE_GIB, 'min', None),
    ('large: its time, per GiB', 'large_take_gib_s', 's', 4, 'max', None),
    ('large: memory over idle meanwhile', 'large_memory_kib', 'KiB', 65536, 'max', None),
    ('large: start of the node from it, per GiB', 'large_start_gib_s', 's', None, 'max', None),
)


def parts(text):
    chosen = text.split(',')
    for part in chosen:
        if part not in ('store', 'node', 'large'):
            raise argparse.ArgumentTypeError(f"'{part}' is none of: store, node, large")
    return chosen


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=2, help='default 2')
    parser.add_argument('--mebibytes', type=int, default=512, help='of application bytes (default 512)')
    parser.add_argument('--keys', type=int, default=10000000, help='of the node, 100 bytes each (default 10,000,000)')
    parser.add_argument('--only', type=parts, default=['store', 'node'], help='store, node (these are the default), large')
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


def store_rows(options, folder):
    answers = measure(options, folder)
    rows = []
    for name, arguments, key, unit, goal, has_floor in ROWS:
        def median(which, of=answers[arguments]):
            return statistics.median(answer[which] for answer in of)
        rows.append({'name': name, 'unit': unit, 'ours': run.rounded(median(key)), 'peers': {},
                     'floor': run.rounded(median('floor_mb_s')) if has_floor else None, 'goal': goal,
                     'goal_is': 'max' if unit == 'KiB' else 'min', 'rounds': options.rounds})
    return rows


def found_rows(table, found):
    rows = []
    for name, key, unit, goal, goal_is, redis in table:
        peers = {'redis BGSAVE': run.rounded(found[redis])} if redis is not None and found.get(redis) is not None else {}
        rows.append({'name': name, 'unit': unit, 'ours': run.rounded(found[key]), 'peers': peers, 'floor': None,
                     'goal': goal, 'goal_is': goal_is, 'rounds': 1})
    return rows


def main():
    options = parse(sys.argv[1:])
    output = pathlib.Path(options.output)
    folder = output.parent / 'snapshot-data'
    output.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        rows = store_rows(options, folder) if 'store' in options.only else []
        bench = snapshot_node.NodeBench(options.build, folder, options.keys)
        rows += found_rows(NODE_ROWS, bench.run()) if 'node' in options.only else []
        rows += found_rows(LARGE_ROWS, bench.run_large()) if 'large' in options.only else []
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    machine = run.machine(output.parent)
    output.write_text(json.dumps({'machine': machine, 'keys': options.keys, 'rows': rows}, indent=1,
                                 ensure_ascii=False) + '\n', encoding='utf-8')
    print(machine)
    print(f'store: {options.mebibytes} MiB, medians of {options.rounds} rounds; node: {options.keys:,} keys of '
          f'{snapshot_node.VALUE_BYTES} bytes\n')
    print('\n'.join(run.table(rows)))
    run.say(f'written: {output}')


if __name__ == '__main__':
    main()
