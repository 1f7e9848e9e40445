#!/usr/bin/python3
"""Figures: the device's own floor, the log, and the server beside redis-server with `appendfsync always`.

    run.py [--rounds N] [--seconds S] [--only device,log,server] [--build DIR] [--output FILE]

Every round measures everything once, ours and the peer one after the other; a row shows the median of the rounds.
Prints one table and writes build/bench/all.json:

    {"machine": …, "rows": [{"name", "unit", "ours", "peers": {NAME: value}, "floor", "goal", "goal_is", "rounds"}]}

Data lives under build/bench/ and is removed at the end. A row that misses its goal is marked; the exit code tells
whether everything could be measured, not whether the goals were met.
"""
import argparse
import contextlib
import csv
import json
import os
import pathlib
import platform
import random
import select
import shutil
import socket
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
REDIS = 'redis-server'
LOADS = (('-c 1', ['-c', '1']), ('-c 50', ['-c', '50']), ('-c 50 -P 16', ['-c', '50', '-P', '16']))
# What is aimed at, by (nodes, command, load): a share of what Redis reached in
# the same run, or a number.
GOAL_SHARES = {(1, 'SET', '-c 50'): 1.0, (1, 'SET', '-c 50 -P 16'): 0.6, (1, 'GET', '-c 50'): 0.8}
GOAL_NUMBERS = {(3, 'SET', '-c 1'): 4500, (3, 'SET', '-c 50'): 30000, (3, 'SET', '-c 50 -P 16'): 150000}
ELECTED_GOAL_SECONDS = 3
# A first guess of requests per second; the first try takes a tenth of them, to learn the pace.
FIRST_GUESS = {'-c 1': 6000, '-c 50': 50000, '-c 50 -P 16': 200000}
VALUE_BYTES, KEYS, LOG_PAYLOAD_BYTES = 100, 100000, 128
LOG_OUTSTANDING = (1, 64, 1024)
DEVICE_SIZES = (4096, 65536)
START_SECONDS = 30


class Measurements:
    """Values by row; the rows in the order in which they were first seen."""

    def __init__(self):
        self.values = {}

    def add(self, row, value):
        self.values.setdefault(row, []).append(value)

    def median(self, row):
        return statistics.median(self.values[row]) if row in self.values else None


def say(text):
    print(text, file=sys.stderr, flush=True)


def free_ports(count):
    for _ in range(1000):
        port = random.randrange(12000, 20000)
        with contextlib.ExitStack() as stack:
            try:
                for i in range(count):
                    probe = stack.enter_context(contextlib.closing(socket.socket()))
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(('127.0.0.1', port + i))
            except OSError:
                continue
        return port
    raise SystemExit('error: no free ports')


# ---- servers ----

class Server:
    """A process of ours, ended by its id."""

    def __init__(self, arguments, folder, **options):
        folder.mkdir(parents=True)
        self.folder = folder
        self.log = open(folder.parent / f'{folder.name}.log', 'wb')
        self.started = time.monotonic()
        self.process = subprocess.Popen([str(argument) for argument in arguments], stdin=subprocess.DEVNULL,
                                        stderr=self.log, **options)

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Redis(Server):
    def __init__(self, folder):
        self.port = free_ports(1)
        super().__init__([REDIS, '--port', self.port, '--bind', '127.0.0.1', '--appendonly', 'yes', '--appendfsync',
                          'always', '--save', '', '--dir', folder], folder, stdout=subprocess.DEVNULL)
        self.wait_answers()

    def wait_answers(self):
        while True:
            with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', self.port), 1) as client:
                client.sendall(b'PING\r\n')
                if client.recv(100).startswith(b'+PONG'):
                    return
            if self.process.poll() is not None or time.monotonic() - self.started > START_SECONDS:
                raise SystemExit('error: redis-server did not start')
            time.sleep(0.05)


class Holdfast(Server):
    def __init__(self, binary, folder, nodes):
        self.port = free_ports(nodes)
        super().__init__([binary, 'dev', '--json', '--nodes', nodes, '--groups', 4, '--port', self.port, '--data',
                          folder / 'data'], folder, stdout=subprocess.PIPE)
        ready, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        line = self.process.stdout.readline() if ready else b''
        self.elected_seconds = time.monotonic() - self.started
        if not line:
            self.close()
            raise SystemExit(f'error: holdfast dev did not start; see {self.log.name}')


# ---- measuring ----

def program_json(*arguments):
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f'error: {pathlib.Path(arguments[0]).name}: {done.stderr.strip()}')
    return json.loads(done.stdout)


def redis_benchmark(port, command, load, requests):
    """Requests per second, and how long it took."""
    started = time.monotonic()
    done = subprocess.run(
        ['redis-benchmark', '-h', '127.0.0.1', '-p', str(port), '-t', command.lower(), '-d', str(VALUE_BYTES), '-r',
         str(KEYS), '-n', str(requests), '--csv', *load], capture_output=True, text=True, check=False)
    rows = [row for row in csv.reader(done.stdout.splitlines()) if row and row[0] == command]
    if done.returncode != 0 or len(rows) != 1 or 'rror' in done.stdout + done.stderr:
        raise SystemExit(f'error: redis-benchmark {command} {" ".join(load)}: {done.stdout}{done.stderr}'.strip())
    return float(rows[0][1]), time.monotonic() - started


class Bench:
    def __init__(self, options):
        self.options = options
        self.build = pathlib.Path(options.build).resolve()
        self.home = ROOT / 'build' / 'bench'
        self.data = self.home / 'data'
        self.found = Measurements()
        self.requests = {}

    def device(self):
        for size in DEVICE_SIZES:
            result = program_json(self.build / 'bench_device', self.data, size, self.options.seconds)
            self.found.add(('device', size), result['rate'])

    def log(self):
        for outstanding in LOG_OUTSTANDING:
            folder = self.data / 'log'
            result = program_json(self.build / 'bench_log', folder, LOG_PAYLOAD_BYTES, outstanding, 1, 1,
                                  self.options.seconds, 'caller')
            shutil.rmtree(folder, ignore_errors=True)
            self.found.add(('log', outstanding), result['rate'])

    def load(self, name, port):
        """All loads on one server; `name` is 'redis' or the number of our nodes."""
        for label, load in LOADS:
            for command in ('SET', 'GET'):
                row = (name, command, label)
                requests = self.requests.get(row, int(FIRST_GUESS[label] * self.options.seconds / 10))
                rate, seconds = redis_benchmark(port, command, load, requests)
                while seconds < self.options.seconds:
                    requests = int(requests * min(self.options.seconds * 1.3 / seconds, 20)) + 1
                    rate, seconds = redis_benchmark(port, command, load, requests)
                self.requests[row] = max(int(requests * min(self.options.seconds * 1.3 / seconds, 1)), 1)
                self.found.add(row, rate)

    def server(self):
        with contextlib.closing(Redis(self.data / 'redis')) as redis:
            self.load('redis', redis.port)
        for nodes in (1, 3):
            with contextlib.closing(Holdfast(self.build / 'holdfast', self.data / f'nodes{nodes}', nodes)) as holdfast:
                self.found.add(('elected', nodes), holdfast.elected_seconds)
                self.load(nodes, holdfast.port)

    def run(self):
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(parents=True)
        try:
            for number in range(self.options.rounds):
                for part in self.options.only:
                    say(f'round {number + 1} of {self.options.rounds}: {part}')
                    getattr(self, part)()
        finally:
            shutil.rmtree(self.data, ignore_errors=True)

    # ---- rows ----

    def row(self, name, unit, key, peers=None, floor=None, goal=None, goal_is='min'):
        return {'name': name, 'unit': unit, 'ours': rounded(self.found.median(key)),
                'peers': {peer: rounded(value) for peer, value in (peers or {}).items() if value is not None},
                'floor': rounded(floor), 'goal': rounded(goal), 'goal_is': goal_is,
                'rounds': len(self.found.values[key])}

    def server_row(self, key):
        nodes, command, label = key
        redis = self.found.median(('redis', command, label))
        goal = GOAL_NUMBERS.get(key)
        if key in GOAL_SHARES and redis is not None:
            goal = GOAL_SHARES[key] * redis
        floor = self.found.median(('device', 4096)) if (command, label) == ('SET', '-c 1') else None
        name = f'server, {nodes} node{"s" if nodes > 1 else ""}, {command} {label}'
        return self.row(name, 'requests/s', key, {'redis appendfsync always': redis}, floor, goal)

    def rows(self):
        rows = []
        for key in self.found.values:
            if key[0] == 'device':
                rows.append(self.row(f'device, durable write of {key[1] >> 10} KiB', 'writes/s', key,
                                     floor=self.found.median(key)))
            elif key[0] == 'log':
                floor = self.found.median(('device', 4096)) if key[1] == 1 else None
                rows.append(self.row(f'log, append {LOG_PAYLOAD_BYTES} B, {key[1]} outstanding', 'entries/s', key,
                                     floor=floor))
            elif key[0] == 'elected':
                rows.append(self.row(f'dev, {key[1]} node{"s" if key[1] > 1 else ""}: all groups led after', 's', key,
                                     goal=ELECTED_GOAL_SECONDS, goal_is='max'))
            elif key[0] != 'redis':
                rows.append(self.server_row(key))
        return rows


def rounded(value):
    """Three digits are more than a measurement holds."""
    if value is None:
        return None
    return round(value) if value >= 100 else round(value, 3)


def misses(row):
    if row['goal'] is None:
        return False
    return row['ours'] < row['goal'] if row['goal_is'] == 'min' else row['ours'] > row['goal']


# ---- output ----

def machine(folder):
    processors = pathlib.Path('/proc/cpuinfo').read_text(encoding='utf-8', errors='replace').splitlines()
    model = next((line.split(':', 1)[1].strip() for line in processors if line.startswith('model name')),
                 platform.machine())
    memory = next(int(line.split()[1]) for line in open('/proc/meminfo', encoding='ascii') if 'MemTotal' in line)
    kind = subprocess.run(['stat', '-f', '-c', '%T', str(folder)], capture_output=True, text=True, check=False)
    return (f'{os.cpu_count()} × {model}, {memory / (1 << 20):.0f} GiB, Linux {platform.release()}, '
            f'{kind.stdout.strip() or "unknown"} file system')


def shown(value):
    if value is None:
        return '–'
    return f'{value:,.0f}' if value >= 100 else f'{value:.2f}'


def table(rows):
    """The lines of the table."""
    lines = [('', 'ours', 'unit', 'floor', 'redis', 'ratio', 'goal', '')]
    for row in rows:
        peer = next(iter(row['peers'].values()), None)
        sign = '≥' if row['goal_is'] == 'min' else '≤'
        goal = f'{sign} {shown(row["goal"])}' if row['goal'] is not None else '–'
        lines.append((row['name'], shown(row['ours']), row['unit'], shown(row['floor']), shown(peer),
                      f'{row["ours"] / peer:.2f}' if peer else '–', goal, 'MISSED' if misses(row) else ''))
    widths = [max(len(line[i]) for line in lines) for i in range(8)]
    left = (0, 2, 7)
    return ['  '.join(text.ljust(width) if i in left else text.rjust(width)
                      for i, (text, width) in enumerate(zip(line, widths))).rstrip() for line in lines]


def parts(text):
    chosen = text.split(',')
    for part in chosen:
        if part not in ('device', 'log', 'server'):
            raise argparse.ArgumentTypeError(f"'{part}' is none of: device, log, server")
    return chosen


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=3, help='default 3')
    parser.add_argument('--seconds', type=float, default=2, help='of each measurement, at least (default 2)')
    parser.add_argument('--only', type=parts, default=['device', 'log', 'server'], help='device, log, server')
    parser.add_argument('--build', default=str(ROOT / 'build' / 'release'), help='where the programs are')
    parser.add_argument('--output', default=str(ROOT / 'build' / 'bench' / 'all.json'))
    return parser.parse_args(arguments)


def main():
    options = parse(sys.argv[1:])
    if options.rounds < 1:
        raise SystemExit('error: at least one round is needed')
    bench = Bench(options)
    bench.run()
    rows = bench.rows()
    report = {'machine': machine(bench.home), 'rows': rows}
    output = pathlib.Path(options.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=2, ensure_ascii=False) + '\n', encoding='utf-8')
    print(report['machine'])
    print(f'medians of {options.rounds} round{"s" if options.rounds > 1 else ""}, {options.seconds:g} s and more each; '
          f'redis-benchmark -d {VALUE_BYTES} -r {KEYS}\n')
    print('\n'.join(table(rows)))
    missed = sum(misses(row) for row in rows)
    print(f'\n{missed} of {sum(row["goal"] is not None for row in rows)} goals missed' if missed else '\nall goals met')
    print(f'written to {output}')


if __name__ == '__main__':
    main()
