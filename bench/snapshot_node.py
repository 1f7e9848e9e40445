"""Snapshots in the life of a node: taken while it serves, loaded by a start, installed on a node that joins; beside
redis-server with the same keys. Used by snapshot.py, which see.

One group holds all keys, so that one snapshot holds all of them. Times are also given for 1 GiB of application bytes.
"""
import contextlib
import csv
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

import run

KEYS_PER_COMMAND = 200
COMMANDS_IN_FLIGHT = 64
VALUE_BYTES = 100
WORDS = ('order', 'invoice', 'pending', 'shipped', 'returned', 'customer', 'address', 'replica', 'counter', 'session')
GIBIBYTE = 1 << 30
LARGE_GIB = 4
LARGE_KEYS = 25000000  # of VALUE_BYTES each: a little more than that
LARGE_WAIT_SECONDS = 300
LOAD_CLIENTS = 8
WAIT_SECONDS = 60
# Nothing is taken by itself: what is measured is asked for.
SETTINGS = {'snapshot.entries': 0, 'snapshot.log_size': 0, 'snapshot.interval': '0ms', 'snapshot.trail': 1,
            'snapshot.copy_max': '8GiB', 'snapshot.at_stop': '0ms', 'raft.request_timeout': '60s'}


# ---- clients ----

class Refused(Exception):
    """An error reply, or a connection that was closed."""


class Client:
    def __init__(self, port, timeout=WAIT_SECONDS):
        self.socket = socket.create_connection(('127.0.0.1', port), timeout=timeout)
        self.input = self.socket.makefile('rb')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.input.close()
        self.socket.close()

    def __call__(self, *words):
        data = [str(word).encode() for word in words]
        self.socket.sendall(b'*%d\r\n' % len(data) + b''.join(b'$%d\r\n%s\r\n' % (len(d), d) for d in data))
        line = self.input.readline().rstrip()
        if not line or line[:1] == b'-':
            raise Refused(f'{" ".join(map(str, words))}: {line.decode(errors="replace") or "closed"}')
        if line[:1] == b'$':
            return self.input.read(int(line[1:]) + 2)[:-2] if line != b'$-1' else None
        return line[1:]

    def info(self):
        lines = self('INFO').decode().splitlines()
        return dict(line.split(':', 1) for line in lines if ':' in line)


def values(rng_seed=1):
    """A few thousand values like an application's: JSON, of VALUE_BYTES bytes. Every key's neighbours differ."""
    state = rng_seed
    made = []
    for number in range(8192):
        words = []
        while len(words) < 12:
            state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
            words.append(WORDS[(state >> 33) % len(WORDS)])
        text = f'{{"id": {state % 100000000}, "status": "{words[0]}", "n": {number}, "note": "{" ".join(words[1:])}'
        made.append(b'$%d\r\n%s"}\r\n' % (VALUE_BYTES, text[:VALUE_BYTES - 2].ljust(VALUE_BYTES - 2).encode()))
    return made


def load(port, keys):
    """Sets key:000000000000 … with MSET, pipelined; returns the seconds it took."""
    pool = values()
    started = time.monotonic()
    with Client(port) as client:
        waiting = 0
        for first in range(0, keys, KEYS_PER_COMMAND):
            numbers = range(first, min(first + KEYS_PER_COMMAND, keys))
            body = b''.join([b'$16\r\nkey:%012d\r\n%s' % (n, pool[(n * 2654435761 >> 7) % len(pool)]) for n in numbers])
            client.socket.sendall(b'*%d\r\n$4\r\nMSET\r\n' % (1 + 2 * len(numbers)) + body)
            waiting += 1
            while waiting > COMMANDS_IN_FLIGHT:
                line = client.input.readline()
                if line[:3] != b'+OK':
                    raise SystemExit(f'error: MSET: {line.decode(errors="replace").strip()}')
                waiting -= 1
        for _ in range(waiting):
            if client.input.readline()[:3] != b'+OK':
                raise SystemExit('error: MSET failed')
    return time.monotonic() - started


def write_p99_ms(port, keys, requests):
    """99 % of random SETs from LOAD_CLIENTS connections were answered within this."""
    done = subprocess.run(['redis-benchmark', '-p', str(port), '-c', str(LOAD_CLIENTS), '-r', str(keys), '-d',
                           str(VALUE_BYTES), '-n', str(requests), '-t', 'set', '--csv'],
                          capture_output=True, text=True, check=False)
    rows = [row for row in csv.reader(done.stdout.splitlines()) if row and row[0] == 'SET']
    if done.returncode != 0 or len(rows) != 1:
        raise SystemExit(f'error: redis-benchmark: {done.stdout}{done.stderr}'.strip())
    return float(rows[0][6])


# ---- memory ----

def resident_kib(pid, name='VmRSS'):
    for line in pathlib.Path(f'/proc/{pid}/status').read_text(encoding='ascii').splitlines():
        if line.startswith(name + ':'):
            return int(line.split()[1])
    return 0


def processor_s(pid):
    """Processor time of a process since its start: what it costs also while others keep the machine busy."""
    words = pathlib.Path(f'/proc/{pid}/stat').read_text(encoding='ascii', errors='replace').rpartition(')')[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf('SC_CLK_TCK')


def forget_peak(pid):
    with contextlib.suppress(OSError):
        pathlib.Path(f'/proc/{pid}/clear_refs').write_text('5', encoding='ascii')


# ---- nodes ----

class Node(run.Server):
    """One node of ours that is served in the foreground; it may be ended and started again on its data."""

    def __init__(self, build, folder, ports, settings=None):
        self.binary, self.home, self.ports = build / 'holdfast', folder, ports
        self.settings = {**SETTINGS, **(settings or {})}
        self.data = folder / 'data'
        self.process = None
        folder.mkdir(parents=True)

    def call(self, *arguments):
        done = subprocess.run([str(self.binary), *map(str, arguments)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f'error: holdfast {arguments[0]}: {done.stderr.strip()}')
        return done.stdout

    def address(self, which):
        return f'127.0.0.1:{self.ports + which}'

    def init(self):
        cluster = self.home / 'cluster.holdfast'
        self.call('init', '--cluster', cluster, '--groups', 1, '--node',
                  f'1={self.address(1)},{self.address(0)},{self.address(2)}')
        self.call('init', '--cluster', cluster, '--id', 1, '--data', self.data)

    def join(self, other):
        self.call('join', '--cluster', other.address(0), '--data', self.data, '--standby', '--listen-client',
                  self.address(0), '--listen-peer', self.address(1), '--listen-http', self.address(2))

    def spawn(self):
        words = [self.binary, 'serve', '--data', self.data]
        for key, value in self.settings.items():
            words += ['--set', f'{key}={value}']
        with open(self.home / 'log', 'ab') as log:
            self.process = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=log)

    def start(self, wait_seconds=WAIT_SECONDS):
        """Returns the seconds until a key was read."""
        started = time.monotonic()
        self.spawn()
        while time.monotonic() - started < wait_seconds and self.process.poll() is None:
            with contextlib.suppress(OSError, Refused), Client(self.ports, 5) as client:
                client('GET', 'key:000000000000')
                return time.monotonic() - started
            time.sleep(0.02)
        raise SystemExit(f'error: the node does not answer: {self.log_text()[-2000:]}')

    def stop(self, by_force=False):
        if self.process is None:
            return
        if by_force:
            self.process.kill()
        else:
            self.process.terminate()
        self.process.wait(timeout=WAIT_SECONDS)
        self.process = None

    def close(self):
        self.stop(by_force=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def log_text(self):
        return (self.home / 'log').read_text(errors='replace')

    def replayed(self):
        """After a start of a node alone: the entries behind its snapshot, but for the one that its election adds."""
        with Client(self.ports) as client:
            groups = json.loads(client('RAFT.STATUS', 'JSON'))['groups']
        group = next(group for group in groups if group['ordinal'] == 0)
        return group['applied'] - group['snapshot'] - 1


def last_snapshot(node):
    """(application bytes, ms) of the last snapshot, as the node's log says."""
    found = re.findall(r'group 2: snapshot at index \d+, (\d+) bytes, \d+ stored, in (\d+) ms', node.log_text())
    return int(found[-1][0]), int(found[-1][1])


def installed_ms(node):
    """From the offer of a snapshot until readers saw it, as the node's log says; None: not yet."""
    found = re.search(r'group 2: .* is installed, (\d+) ms after its offer', node.log_text())
    return int(found.group(1)) if found else None


def p99_while(port, keys, requests, begin, is_over):
    """The p99 of what is written between begin() and is_over(), each figure of `requests` of them; the middle one."""
    found = []
    begin()
    while not is_over():
        found.append(write_p99_ms(port, keys, requests))
    # The last one was over before the end only in part; without it, unless it is all there is.
    found = sorted(found[:-1] or found)
    return found[len(found) // 2] if found else None


class NodeBench:
    """Fills `found`: {name of a figure: value}."""

    def __init__(self, build, folder, keys):
        self.build, self.folder, self.keys = pathlib.Path(build), folder, keys
        self.requests = 8000
        self.found = {}
        self.started = time.monotonic()

    def run(self):
        ports = run.free_ports(6)
        first = Node(self.build, self.folder / 'first', ports)
        second = Node(self.build, self.folder / 'second', ports + 3)
        with contextlib.closing(first), contextlib.closing(second):
            first.init()
            first.start()
            self.say(f'node: {self.keys} keys')
            self.found['load_s'] = load(first.ports, self.keys)
            self.take(first)
            self.take_under_load(first)
            self.restart(first)
            self.install(first, second)
        with contextlib.closing(run.Redis(self.folder / 'redis')) as redis:
            self.say(f'redis: {self.keys} keys')
            with Client(redis.port) as client:
                client('CONFIG', 'SET', 'auto-aof-rewrite-percentage', 0)
                client('CONFIG', 'SET', 'appendfsync', 'no')  # quick to load; what is measured is with `always`
                load(redis.port, self.keys)
                client('CONFIG', 'SET', 'appendfsync', 'always')
            self.redis(redis)
        return self.found

    def run_large(self):
        """One snapshot of at least LARGE_GIB, and the start from it."""
        node = Node(self.build, self.folder / 'large', run.free_ports(3))
        with contextlib.closing(node):
            node.init()
            node.start()
            self.say(f'large: {LARGE_KEYS} keys')
            load(node.ports, LARGE_KEYS)
            self.say('large: a snapshot')
            size, seconds, self.found['large_memory_kib'] = self.save(node)
            if size < LARGE_GIB * GIBIBYTE:
                raise SystemExit(f'error: the large snapshot has only {size} bytes')
            self.found['large_gib'] = size / GIBIBYTE
            self.found['large_take_gib_s'] = seconds * GIBIBYTE / size
            node.stop(by_force=True)
            self.say('large: starts')
            self.found['large_start_gib_s'] = node.start(LARGE_WAIT_SECONDS) * GIBIBYTE / size
        return self.found

    @staticmethod
    def save(node):
        """(application bytes, seconds, KiB of memory over idle meanwhile) of a snapshot that is asked for now."""
        with Client(node.ports, LARGE_WAIT_SECONDS) as client:
            time.sleep(1)
            forget_peak(node.process.pid)
            idle = resident_kib(node.process.pid)
            client('SAVE')
            memory = max(resident_kib(node.process.pid, 'VmHWM') - idle, 0)
        size, ms = last_snapshot(node)
        return size, ms / 1000, memory

    def say(self, text):
        run.say(f'{time.monotonic() - self.started:6.1f} s  {text}')

    # ---- ours ----

    def take(self, node):
        self.say('node: a snapshot')
        used = processor_s(node.process.pid)
        size, seconds, self.found['memory_kib'] = self.save(node)
        used = processor_s(node.process.pid) - used
        self.found['bytes'] = size
        self.found['take_processor_gib_s'] = used * GIBIBYTE / size
        self.found['take_gib_s'] = seconds * GIBIBYTE / size

    def take_under_load(self, node):
        self.say('node: a snapshot while it is written to')
        self.found['p99_without_ms'] = sorted(write_p99_ms(node.ports, self.keys, self.requests) for _ in range(5))[2]
        with Client(node.ports) as client:
            before = int(client.info()['rdb_saves'])
            self.found['p99_with_ms'] = p99_while(
                node.ports, self.keys, self.requests, lambda: client('BGSAVE'),
                lambda: int(client.info()['rdb_saves']) > before)
            self.found['p99_ratio'] = self.found['p99_with_ms'] / max(self.found['p99_without_ms'], 0.001)
            self.found['pause_us'] = int(client.info()['snapshot_pause_max_us'])
        self.found['take_under_load_s'] = last_snapshot(node)[1] / 1000

    def restart(self, node):
        self.say('node: starts')
        with Client(node.ports) as client:
            client('SAVE')
        write_p99_ms(node.ports, self.keys, 20000)  # the tail of the log
        node.stop(by_force=True)
        self.found['restart_killed_s'] = node.start()
        self.found['restart_processor_s'] = processor_s(node.process.pid)
        self.found['restart_killed_entries'] = node.replayed()
        node.settings['snapshot.at_stop'] = '60s'
        node.stop()
        node.start()  # with that setting
        with Client(node.ports) as client:
            client('SET', 'one', 'more')
        node.stop()
        self.found['restart_clean_s'] = node.start()
        self.found['restart_clean_entries'] = node.replayed()

    def install(self, node, joining):
        """A node joins that lacks what the log no longer has."""
        self.say('node: a second one installs a snapshot')
        with Client(node.ports) as client:
            for number in range(2):  # the log reaches back to the second newest
                client('SET', 'one', number)
                client('SAVE')
        size, _ = last_snapshot(node)
        joining.join(node)
        deadline = time.monotonic() + WAIT_SECONDS
        self.found['p99_install_ms'] = p99_while(
            node.ports, self.keys, self.requests, joining.spawn,
            lambda: installed_ms(joining) is not None or time.monotonic() > deadline)
        if installed_ms(joining) is None:
            raise SystemExit(f'error: no snapshot was installed: {joining.log_text()[-2000:]}')
        self.found['install_s'] = installed_ms(joining) / 1000
        self.found['install_gib_s'] = self.found['install_s'] * GIBIBYTE / size

    # ---- redis ----

    def redis(self, redis):
        with Client(redis.port) as client:
            started = time.monotonic()
            client('BGSAVE')
            while client.info()['rdb_bgsave_in_progress'] != '0':
                time.sleep(0.02)
            self.found['redis_take_s'] = time.monotonic() - started
            self.found['redis_take_gib_s'] = self.found['redis_take_s'] * GIBIBYTE / self.found['bytes']
            self.found['redis_p99_without_ms'] = sorted(
                write_p99_ms(redis.port, self.keys, self.requests) for _ in range(5))[2]
            self.found['redis_p99_with_ms'] = p99_while(
                redis.port, self.keys, self.requests, lambda: client('BGSAVE'),
                lambda: client.info()['rdb_bgsave_in_progress'] == '0')
            info = client.info()
            self.found['redis_memory_kib'] = int(info['rdb_last_cow_size']) // 1024
            self.found['redis_p99_ratio'] = self.found['redis_p99_with_ms'] / max(self.found['redis_p99_without_ms'], 0.001)

