"""What the end-to-end tests share: processes of the real program, and a Redis client that hides nothing.

The program is HOLDFAST_TEST_BINARY, or build/release/holdfast. Everything a test starts is ended by its process id, and
by the kernel when the test is killed; every folder lies below one temporary folder; when a test fails, what its processes
wrote to standard error is printed.
"""
import contextlib
import json
import os
import pathlib
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BINARY = os.environ.get('HOLDFAST_TEST_BINARY', str(ROOT / 'build' / 'release' / 'holdfast'))
# Below the ports that the kernel gives to outgoing connections (32768–60999) and those that `dev` draws for itself.
PORT_LOW, PORT_HIGH = 12000, 20000
CLAIMS = []
# Before a command: it gets SIGKILL when the thread that started it ends, however that ends. So whoever started it in
# another thread than the main one has to wait for it there.
MORTAL = ('setpriv', '--pdeathsig', 'KILL')
# For whatever only has to happen: a machine that is slow, or busy with other things, is no failure. Bounds that are
# promised stand in the tests.
PATIENCE_SECONDS = 120
# For clusters of which no node is killed, stopped or cut off: one that stands still for a moment, with its disk or
# without a core, does not lose what it leads, and a command waits for it.
STEADY = {'HOLDFAST_RAFT_ELECTION_TIMEOUT': '3s', 'HOLDFAST_RAFT_REQUEST_TIMEOUT': '30s'}
CRASH_MARKS = ('Sanitizer', 'runtime error:', 'Assertion `', 'died of signal 6', 'died of signal 11', 'stack smashing')


# ---- ports, folders, waiting ----

def port_is_free(port):
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(('127.0.0.1', port))
        except OSError:
            return False
    return True


def claim_port(port):
    """Whether the port is ours until this process ends: tests run side by side, and the ports of a node that was killed
    look free to the others. The claim is a name that no folder holds and that goes away by itself."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f'\0holdfast-test-port-{port}')
    except OSError:
        claim.close()
        return False
    CLAIMS.append(claim)
    return port_is_free(port)


def free_ports(count=1):
    """The first of `count` neighbouring ports that nobody uses."""
    for _ in range(1000):
        port = random.randrange(PORT_LOW, PORT_HIGH - count)
        if all(claim_port(port + i) for i in range(count)):
            return port
    raise RuntimeError('no free ports')


def wait_until(condition, what, pause=0.02, seconds=PATIENCE_SECONDS):
    """Waits until condition() is true and returns its value; fails with `what` after that many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f'not within {seconds} s: {what}')
        time.sleep(pause)


def process_exists(pid):
    """Whether the process runs; one that ended and is not yet collected does not count."""
    try:
        with open(f'/proc/{pid}/stat', encoding='ascii', errors='replace') as stat:
            return stat.read().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


def children_of(pid):
    found = []
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            try:
                with open(f'/proc/{entry}/stat', encoding='ascii', errors='replace') as stat:
                    if int(stat.read().rpartition(')')[2].split()[1]) == pid:
                        found.append(int(entry))
            except OSError:
                pass
    return found


def run(*arguments, timeout=PATIENCE_SECONDS, **options):
    """Runs the program to its end: a CompletedProcess with text."""
    return subprocess.run([*MORTAL, BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
                          check=False, **options)


def start(*arguments, **options):
    """Starts the program: a Popen. It does not outlive the test."""
    return subprocess.Popen([*MORTAL, BINARY, *map(str, arguments)], **options)


# ---- RESP ----

class ReplyError(Exception):
    """An error reply, as a value: its text is what the server said."""

    def __eq__(self, other):
        return isinstance(other, ReplyError) and str(self) == str(other)

    def __hash__(self):
        return hash(str(self))


class Status(str):
    """A simple string, so that +OK and $2 OK are told apart."""

    def __eq__(self, other):
        return isinstance(other, Status) and str(self) == str(other)

    def __hash__(self):
        return hash(str(self))

    def __repr__(self):
        return f'+{str(self)}'


class Closed(Exception):
    """The server closed the connection, or it broke."""


def encode(*words):
    parts = [b'*%d\r\n' % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b'$%d\r\n%s\r\n' % (len(data), data))
    return b''.join(parts)


class Client:
    """One connection. Replies: bytes, int, float, bool, None, list, dict, Status, ReplyError (as a value)."""

    def __init__(self, address, timeout=PATIENCE_SECONDS):
        host, _, port = address.rpartition(':')
        self.socket = socket.create_connection((host, int(port)), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = bytearray()
        self.at = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send_raw(self, data):
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Closed(str(error)) from error

    def send(self, *words):
        self.send_raw(encode(*words))

    def __call__(self, *words):
        self.send(*words)
        return self.read()

    def pipeline(self, commands):
        self.send_raw(b''.join(encode(*words) for words in commands))
        return [self.read() for _ in commands]

    def fill(self):
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            raise
        except OSError as error:
            raise Closed(str(error)) from error
        if not data:
            raise Closed('end of stream')
        if self.at > 1 << 16:
            del self.input[:self.at]
            self.at = 0
        self.input += data

    def line(self):
        while (end := self.input.find(b'\r\n', self.at)) < 0:
            self.fill()
        line = bytes(self.input[self.at:end])
        self.at = end + 2
        return line

    def exactly(self, size):
        while len(self.input) - self.at < size + 2:
            self.fill()
        data = bytes(self.input[self.at:self.at + size])
        assert self.input[self.at + size:self.at + size + 2] == b'\r\n', 'no line end behind a bulk string'
        self.at += size + 2
        return data

    def read(self):
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == b'+':
            return Status(rest.decode(errors='backslashreplace'))
        if kind == b'-':
            return ReplyError(rest.decode(errors='backslashreplace'))
        if kind == b':':
            return int(rest)
        if kind == b'_':
            return None
        if kind == b'#':
            return rest == b't'
        if kind in (b',', b'('):
            return float(rest) if kind == b',' else int(rest)
        size = int(rest)
        if kind in (b'$', b'=', b'!'):
            data = None if size < 0 else self.exactly(size)
            return ReplyError(data.decode()) if kind == b'!' else data[4:] if kind == b'=' else data
        if kind in (b'*', b'>', b'~'):
            return None if size < 0 else [self.read() for _ in range(size)]
        if kind == b'%':
            return {self.read(): self.read() for _ in range(size)}
        raise AssertionError(f'not RESP: {line!r}')


def write(address, key, value):
    """Sets the key through the node at the address, as soon as it takes the write."""
    def written():
        try:
            with Client(address) as client:
                return client('SET', key, value) == Status('OK')
        except (OSError, Closed):
            return False
    wait_until(written, f'{key} is written through {address}')


def read(address, *words):
    """The reply to a command that may be repeated, once it is no error."""
    def answered():
        try:
            with Client(address) as client:
                reply = client(*words)
        except (OSError, Closed):
            return None
        return None if isinstance(reply, ReplyError) else (reply,)
    return wait_until(answered, f'{words[:2]} is answered by {address}')[0]


# ---- processes ----

class Process:
    """One process of the program in the foreground, with its own folder."""

    def __init__(self, *arguments, env=None, stdin=subprocess.DEVNULL):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='holdfast-e2e-'))
        self.temporary = self.folder / 'tmp'
        self.temporary.mkdir()
        self.errors = open(self.folder / 'stderr', 'w+b')
        environment = {**os.environ, 'TMPDIR': str(self.temporary), **(env or {})}
        self.started = time.monotonic()
        self.process = start(*arguments, stdin=stdin, stdout=subprocess.PIPE, stderr=self.errors, env=environment)
        self.output = b''

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return (self.folder / 'stderr').read_text(errors='replace')

    def read_line(self, seconds=PATIENCE_SECONDS):
        """The next line of standard output, without its end; fails when there is none in time."""
        deadline = time.monotonic() + seconds
        while b'\n' not in self.output:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self.process.stdout], [], [], max(left, 0))
            data = os.read(self.process.stdout.fileno(), 1 << 16) if ready else b''
            if not data:
                raise AssertionError(f'no line on standard output within {seconds} s; standard error:\n{self.log()}')
            self.output += data
        line, _, self.output = self.output.partition(b'\n')
        return line.decode()

    def rest_of_output(self):
        """What standard output held besides the lines that were read. After the end."""
        return self.output + self.process.stdout.read()

    def wait(self, seconds=PATIENCE_SECONDS):
        """The exit code."""
        return self.process.wait(timeout=seconds)

    def send_signal(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM, seconds=PATIENCE_SECONDS):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait(seconds)

    def discard(self):
        """Ends it by force if it still runs, and removes its folder. Its children die with it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self.errors.close()
        log = self.log()
        shutil.rmtree(self.folder, ignore_errors=True)
        # Whatever the test looked at: no process may have crashed on its way.
        crash = next((mark for mark in CRASH_MARKS if mark in log), None)
        if crash is not None:
            raise AssertionError(f'a process crashed ({crash}):\n{log[-8000:]}')


class Dev(Process):
    """`holdfast dev --json`: a cluster, once its line is there."""

    def __init__(self, *arguments, nodes=3, groups=4, port=None, env=None, wait=True):
        self.port = port if port is not None else free_ports(nodes)
        self.helper_port = free_ports(2 * nodes)
        self.groups = groups
        super().__init__('dev', '--json', '--nodes', nodes, '--groups', groups, '--port', self.port, '--helper-port',
                         self.helper_port, *arguments, env=env)
        self.nodes = []
        if wait:
            try:
                self.wait_for_line()
            except BaseException:
                self.discard()
                raise

    def wait_for_line(self):
        line = self.read_line()
        self.line_seconds = time.monotonic() - self.started
        self.nodes = json.loads(line)['nodes']
        return line

    def address(self, number):
        """Of node `number`, from 1."""
        return f'127.0.0.1:{self.port + number - 1}'

    @property
    def addresses(self):
        return [self.address(i + 1) for i in range(len(self.nodes))]

    def client(self, number=1, timeout=PATIENCE_SECONDS):
        return Client(self.address(number), timeout)

    def status(self, number=1):
        """What node `number` says about itself, or None when it does not answer."""
        try:
            with self.client(number, timeout=10) as client:
                reply = client('RAFT.STATUS', 'JSON')
        except (OSError, Closed):
            return None
        return json.loads(reply) if isinstance(reply, bytes) else None

    def told_status(self, number=1):
        """The same of a node that is up: waited for."""
        return wait_until(lambda: self.status(number), f'node {number} says how it is')

    def node_pid(self, number):
        return self.told_status(number)['pid']

    def leaders(self):
        """{group: number of the node that leads it} as the nodes see themselves."""
        found = {}
        for node in self.nodes:
            status = self.status(node['id'])
            for group in status['groups'] if status else []:
                if group['role'] == 'leader':
                    found[group['group']] = node['id']
        return found

    def kill_node(self, number):
        """SIGKILL; returns the id of the process that was there."""
        pid = self.node_pid(number)
        assert pid in children_of(self.pid), f'node {number} has no process of ours'
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_restarted(self, number, pid_before):
        """Waits for another process in the place of one that was killed; returns its id."""
        def other():
            status = self.status(number)
            return status['pid'] if status and status['pid'] != pid_before else None
        return wait_until(other, f'node {number} answers again')

    def wait_writable(self):
        """Waits until every node takes a write for every group."""
        def writable():
            try:
                for number in range(1, len(self.nodes) + 1):
                    with self.client(number) as client:
                        replies = client.pipeline([('SET', f'writable:{i}', i) for i in range(32)])
                        if any(reply != Status('OK') for reply in replies):
                            return False
            except (OSError, Closed):
                return False
            return True
        wait_until(writable, 'all groups take writes')

    def wait_settled(self):
        """Waits until every group is led by the node that leads it while all are up: leadership moves after a start."""
        count = len(self.nodes)
        wanted = {1: self.groups % count + 1, **{group + 2: group % count + 1 for group in range(self.groups)}}
        wait_until(lambda: self.leaders() == wanted, f'the leaders are {wanted}', pause=0.2)


class Redis:
    """A packaged redis-server of this test alone, without persistence: what commands are compared with."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='holdfast-e2e-redis-'))
        self.port = free_ports()
        self.process = subprocess.Popen(
            [*MORTAL, 'redis-server', '--port', str(self.port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no',
             '--dir', str(self.folder)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.address = f'127.0.0.1:{self.port}'
        wait_until(lambda: not port_is_free(self.port), 'redis-server listens')

    def client(self):
        return Client(self.address)

    def discard(self):
        self.process.terminate()
        self.process.wait(timeout=10)
        shutil.rmtree(self.folder, ignore_errors=True)


# ---- test cases ----

class TestCase(unittest.TestCase):
    """Ends what a test opened, and shows the logs of what failed."""

    def open(self, factory, *arguments, **options):
        thing = factory(*arguments, **options)
        self.addCleanup(self.close_thing, thing)
        return thing

    def close_thing(self, thing):
        if isinstance(thing, Process) and self.has_failed():
            show_log(thing)
        thing.discard()

    def has_failed(self):
        outcome = getattr(self, '_outcome', None)
        result = getattr(outcome, 'result', None)
        mine = [entry for entry in (result.failures + result.errors if result else []) if entry[0] is self]
        return bool(mine) or bool(outcome and not outcome.success)

    def folder(self):
        path = pathlib.Path(tempfile.mkdtemp(prefix='holdfast-e2e-data-'))
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        return path


def show_log(process):
    text = process.log()
    print(f'---- standard error of process {process.pid} ----\n{text[-8000:]}\n----', file=sys.stderr)


def figure(text):
    """A measured number, for whoever reads the output of the test."""
    print(f'figure: {text}', file=sys.stderr)


def main():
    if not os.path.exists(BINARY):
        sys.exit(f'{BINARY} does not exist: build it, or set HOLDFAST_TEST_BINARY')
    unittest.main(verbosity=2)
