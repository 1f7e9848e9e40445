#!/usr/bin/python3
"""The log's figures beside the device's own floor and beside the logs of others, in one table.

    log.py [--rounds N] [--seconds S] [--entries N] [--build DIR] [--output FILE] [--quick]

Every round measures everything once: ours, the device by a plain loop, and each peer that the machine has (raft-uv, which
is libraft's own log; RocksDB's and WiredTiger's). A row shows the median of the rounds; a share of the floor is the median
of the rounds' shares. Prints the table, latency over time as a chart, and writes build/bench/log.json in the form of
run.py's all.json; rows of appends carry p50_us, p99_us and p999_us, too. A row that misses its goal is marked; the exit
code tells whether everything could be measured. HOLDFAST_BENCH=quick is --quick: one short round, to see that it runs.
"""
import argparse
import json
import math
import os
import pathlib
import shutil
import statistics

from run import ROOT, machine, misses, program_json, rounded, say, shown

PORT = 22200  # given to raft-uv, which does not listen
PAYLOAD, PAYLOAD_LARGE, OVERHEAD = 128, 1024, 32
INDEX_BYTES_MAX, INDEX_ENTRIES = 64 << 20, 100_000_000
FLOOR, ONE_GROUP = 'the device', 'one group' # what a share is of
# name, payload, outstanding, entries per batch, groups, who drives, MiB kept, which peers, goal, what the goal is a share of
APPENDS = (
    ('1 outstanding, the appender drives', PAYLOAD, 1, 1, 1, 'blocking', 0, True, 0.97, FLOOR),
    ('1 outstanding, writer thread, waiting', PAYLOAD, 1, 1, 1, 'thread-blocking', 0, False, 0.9, FLOOR),
    ('1 outstanding, writer thread, polling', PAYLOAD, 1, 1, 1, 'thread-polling', 0, False, 0.9, FLOOR),
    ('1 outstanding, writer thread, callback', PAYLOAD, 1, 1, 1, 'thread', 0, False, 0.9, FLOOR),
    ('64 outstanding', PAYLOAD, 64, 1, 1, 'caller', 0, True, 350e3, None),
    ('1024 outstanding', PAYLOAD, 1024, 1, 1, 'caller', 0, True, 4e6, None),
    ('1024 outstanding, 224 MiB kept', PAYLOAD, 1024, 1, 1, 'caller', 224, False, None, None),
    ('1024 outstanding, writer thread', PAYLOAD, 1024, 1, 1, 'thread', 0, False, None, None),
    ('batches of 1024', PAYLOAD, 2048, 1024, 1, 'caller', 0, True, 5e6, None),
    ('1 KiB, 1024 outstanding', PAYLOAD_LARGE, 1024, 1, 1, 'caller', 0, True, 1.2e6, None),
    ('16 groups, 1024 outstanding', PAYLOAD, 1024, 1, 16, 'caller', 0, False, 0.9, ONE_GROUP),
    ('1000 groups, 1024 outstanding', PAYLOAD, 1024, 1, 1000, 'caller', 0, False, 0.8, ONE_GROUP),
)
HANDED = '1 outstanding, writer thread, callback' # its appender sleeps: beside a plain loop that wakes and is woken
STEADY, BUSY = '64 outstanding', '1024 outstanding'
CHART_HEIGHT = 8


class Bench:
    def __init__(self, options):
        self.options = options
        self.build = pathlib.Path(options.build).resolve()
        self.home = ROOT / 'build' / 'bench'
        self.data = self.home / 'log-data'
        self.found = {} # (kind, row or nothing) → one result per round

    def run_program(self, program, *arguments, key):
        folder = self.data / 'one'
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        result = program_json(self.build / program, folder, *arguments)
        shutil.rmtree(folder, ignore_errors=True)
        self.found.setdefault(key, []).append(result)
        return result

    def has(self, program):
        return (self.build / program).exists()

    def device(self, size, key, *how):
        return self.run_program('bench_device', size, self.options.seconds, *how, key=key)

    def peers(self, row):
        name, payload, outstanding, batch = row[:4]
        seconds = self.options.seconds
        self.run_program('bench_raft_uv', payload, outstanding, batch, seconds, PORT, key=('raft-uv', name))
        for peer in ('rocksdb', 'wiredtiger'): # they take what is outstanding as one batch
            if self.has(f'bench_{peer}'):
                self.run_program(f'bench_{peer}', payload, max(outstanding if batch == 1 else batch, 1), seconds,
                                 key=(peer, name))

    def append(self, row):
        name, payload, outstanding, batch, groups, driver, kept, with_peers, _, share_of = row
        seconds = self.options.seconds
        self.beside(row, 'before') # before and after, so that a slower minute counts for both
        self.run_program('bench_log', payload, outstanding, batch, groups, seconds, driver, kept, key=('ours', name))
        self.beside(row, 'after')
        if name == STEADY:
            self.steady()
        if with_peers:
            self.peers(row)

    def beside(self, row, when):
        """What the row is a share of."""
        name, payload, outstanding, batch, _, driver, kept, _, _, share_of = row
        if share_of == FLOOR:
            self.device(4096, (when, name))
        if share_of == ONE_GROUP:
            self.run_program('bench_log', payload, outstanding, batch, 1, self.options.seconds, driver, kept,
                             key=(when, name))
        if name == HANDED:
            self.device(4096, ('handed ' + when, name), 'handed')

    def steady(self):
        """The same writes as the log made, by a plain loop."""
        size = math.ceil(self.found[('ours', STEADY)][-1]['bytes_per_write'] / 4096) * 4096
        self.device(size, ('steady', ''))

    def round(self):
        self.device(4096, ('device', ''))
        for row in APPENDS:
            self.append(row)
        self.run_program('bench_log', PAYLOAD, 1024, 1, 1, self.options.seconds, 'none', key=('client', ''))
        self.run_program('bench_log_read', self.options.entries, PAYLOAD, key=('read', ''))

    def run(self):
        shutil.rmtree(self.data, ignore_errors=True)
        try:
            for number in range(self.options.rounds):
                say(f'round {number + 1} of {self.options.rounds}')
                self.round()
        finally:
            shutil.rmtree(self.data, ignore_errors=True)

    # ---- rows ----

    def median(self, key, field):
        results = self.found.get(key)
        return statistics.median(result[field] for result in results) if results else None

    def around(self, name, prefix=''):
        """The rates around each round of a row of what it is a share of."""
        pairs = zip(self.found[(prefix + 'before', name)], self.found[(prefix + 'after', name)])
        return [(before['rate'] + after['rate']) / 2 for before, after in pairs]

    def share(self, name, against, of, goal=None):
        shares = [one['rate'] / other for one, other in zip(self.found[('ours', name)], against)]
        return self.row(f'… as a share of {of}', 'ratio', statistics.median(shares), goal=goal)

    def row(self, name, unit, ours, peers=None, floor=None, goal=None, goal_is='min', **more):
        return {'name': name, 'unit': unit, 'ours': rounded(ours),
                'peers': {peer: rounded(value) for peer, value in (peers or {}).items() if value is not None},
                'floor': rounded(floor), 'goal': rounded(goal), 'goal_is': goal_is, 'rounds': self.options.rounds, **more}

    def append_rows(self, row):
        name, *_, with_peers, goal, share_of = row
        peers = {peer: self.median((peer, name), 'rate') for peer in ('raft-uv', 'rocksdb', 'wiredtiger')}
        times = {field: rounded(self.median(('ours', name), field)) for field in ('p50_us', 'p99_us', 'p999_us')}
        floor = statistics.median(self.around(name)) if share_of == FLOOR else None
        rows = [self.row(name, 'entries/s', self.median(('ours', name), 'rate'), peers if with_peers else None, floor,
                         goal if share_of is None else None, **times)]
        if share_of is not None:
            rows.append(self.share(name, self.around(name), share_of, goal))
        if name == HANDED:
            rows.append(self.share(name, self.around(name, 'handed '), 'a plain loop that hands each write over'))
        return rows

    def other_rows(self):
        ours, device, client = ('ours', BUSY), ('device', ''), ('client', '')
        read = ('read', '')
        payload = PAYLOAD + OVERHEAD
        cpu = self.median(ours, 'user_ns_per_entry') + self.median(ours, 'system_ns_per_entry')
        worst = {peer: self.median((peer, BUSY), 'p99_us') for peer in ('raft-uv', 'rocksdb', 'wiredtiger')}
        steady = statistics.median(log['p999_us'] / plain['p999_us'] for log, plain in
                                   zip(self.found[('ours', STEADY)], self.found[('steady', '')]))
        raw_us = self.median(read, 'raw_us')
        if raw_us == 0:
            say('no raw read was measured, the log is too small: no row of cold reads')
        cold = [] if raw_us == 0 else [
            self.row('read of a cold entry, of a raw 4 KiB read', 'ratio', self.median(read, 'cold_us') / raw_us,
                     floor=1, goal=1.2, goal_is='max')]
        return cold + [
            self.row('device, durable write of 4 KiB', 'writes/s', self.median(device, 'rate'),
                     floor=self.median(device, 'rate'), p50_us=rounded(self.median(device, 'p50_us')),
                     p99_us=rounded(self.median(device, 'p99_us')), p999_us=rounded(self.median(device, 'p999_us'))),
            self.row('p99 at 1024 outstanding', 'µs', self.median(ours, 'p99_us'), worst, goal=1000, goal_is='max'),
            self.row('p99.9 at 64 outstanding, of the same writes by a loop', 'ratio', steady,
                     floor=1, goal=2, goal_is='max'),
            self.row('processor time per entry at 1024 outstanding', 'ns', cpu),
            self.row('… of which the client', 'ns', self.median(client, 'user_ns_per_entry')),
            self.row(f'bytes on disk per payload + {OVERHEAD}, 1024 outstanding', 'ratio',
                     self.median(ours, 'written_per_entry') / payload, goal=1.10, goal_is='max'),
            self.row('read of a cached entry', 'ns', self.median(read, 'cached_us') * 1000, goal=1000, goal_is='max'),
            self.row('catch-up in order by an iterator, warm', 'GB/s', self.median(read, 'sequential_warm_mb_s') / 1e3,
                     goal=2),
            self.row('… by one thread, 1 MiB a call', 'GB/s', self.median(read, 'chunked_mb_s') / 1e3),
            self.row(f'open after a crash, {self.options.entries:,} entries', 'ms', self.median(read, 'open_ms'),
                     goal=200, goal_is='max'),
            self.row('memory per entry after opening', 'bytes', self.median(read, 'heap_bytes') / self.options.entries,
                     goal=INDEX_BYTES_MAX / INDEX_ENTRIES, goal_is='max'),
        ]

    def rows(self):
        return [line for row in APPENDS for line in self.append_rows(row)] + self.other_rows()


# ---- output ----

def table(rows):
    peers = [peer for peer in ('raft-uv', 'rocksdb', 'wiredtiger') if any(peer in row['peers'] for row in rows)]
    lines = [('', 'ours', 'unit', 'p50 µs', 'p99 µs', 'p99.9 µs', 'floor', *peers, 'goal', '')]
    for row in rows:
        sign = '≥' if row['goal_is'] == 'min' else '≤'
        lines.append((row['name'], shown(row['ours']), row['unit'],
                      *(shown(row[field]) if field in row else '' for field in ('p50_us', 'p99_us', 'p999_us')),
                      shown(row['floor']) if row['floor'] is not None else '',
                      *(shown(row['peers'][peer]) if peer in row['peers'] else '' for peer in peers),
                      f'{sign} {shown(row["goal"])}' if row['goal'] is not None else '',
                      'MISSED' if misses(row) else ''))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    left = (0, 2, len(widths) - 1)
    return ['  '.join(text.ljust(width) if i in left else text.rjust(width)
                      for i, (text, width) in enumerate(zip(line, widths))).rstrip() for line in lines]


def chart(title, series):
    """Lines with one mark per series and point; the height is the logarithm of the latency."""
    values = [value for points in series.values() for value in points if value > 0]
    if not values:
        return []
    low, high = math.log(min(values)), math.log(max(values))
    span = max(high - low, 0.1)
    width = max(len(points) for points in series.values())
    grid = [[' '] * width for _ in range(CHART_HEIGHT)]
    for mark, points in zip('ox+*', series.values()):
        for at, value in enumerate(points):
            if value > 0:
                grid[round((math.log(value) - low) / span * (CHART_HEIGHT - 1))][at] = mark
    lines = [title + ': ' + ', '.join(f'{mark} {name}' for mark, name in zip('ox+*', series))]
    for level in reversed(range(CHART_HEIGHT)):
        at_level = math.exp(low + span * level / (CHART_HEIGHT - 1))
        lines.append(f'{at_level:>10,.0f} │{"".join(grid[level])}')
    return lines + [' ' * 11 + '└' + '─' * width]


def charts(found):
    lines = []
    for name in (STEADY, BUSY):
        series = {'log': found[('ours', name)][-1]['p99_us_over_time']}
        for peer in ('raft-uv', 'rocksdb', 'wiredtiger'):
            if (peer, name) in found:
                series[peer] = found[(peer, name)][-1]['p99_us_over_time']
        lines += ['', *chart(f'p99 in µs over the time of the last round, {name}', series)]
    return lines


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, help='default 5')
    parser.add_argument('--seconds', type=float, help='of each measurement (default 2)')
    parser.add_argument('--entries', type=int, help='of the log that is opened and read (default 10,000,000)')
    parser.add_argument('--quick', action='store_true', default=os.environ.get('HOLDFAST_BENCH') == 'quick',
                        help='one short round')
    parser.add_argument('--build', default=str(ROOT / 'build' / 'release'), help='where the programs are')
    parser.add_argument('--output', default=str(ROOT / 'build' / 'bench' / 'log.json'))
    options = parser.parse_args()
    fallback = (1, 0.3, 200_000) if options.quick else (5, 2, 10_000_000)
    for name, value in zip(('rounds', 'seconds', 'entries'), fallback):
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.rounds < 1 or options.seconds <= 0 or options.entries < 1:
        parser.error('rounds, seconds and entries are at least one')
    return options


def main():
    options = parse()
    bench = Bench(options)
    bench.home.mkdir(parents=True, exist_ok=True)
    bench.run()
    rows = bench.rows()
    lines = charts(bench.found)
    report = {'machine': machine(bench.home), 'rows': rows, 'chart': lines}
    output = pathlib.Path(options.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=2, ensure_ascii=False) + '\n', encoding='utf-8')
    print(report['machine'])
    print(f'medians of {options.rounds} rounds, {options.seconds:g} s each, one appending thread, entries of {PAYLOAD} B, '
          'acknowledged when durable\n')
    print('\n'.join(table(rows) + lines))
    missed = sum(misses(row) for row in rows)
    print(f'\n{missed} of {sum(row["goal"] is not None for row in rows)} goals missed' if missed else '\nall goals met')
    print(f'written to {output}')


if __name__ == '__main__':
    main()
