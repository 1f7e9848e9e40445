"""P4: the memory of a process stays within its limits, whatever clients do, and work goes on afterwards."""
import re
import socket
import threading
import time
import urllib.request

import cluster
from cluster import Dev, ReplyError, Status, encode

MIB = 1 << 20
LIMIT = 64 * MIB
SMALL = {'HOLDFAST_MEMORY_LIMIT': '64MiB', 'HOLDFAST_LOG_TAIL_CACHE': '8MiB', 'HOLDFAST_LOG_QUEUE_SIZE_MAX': '32MiB',
         'HOLDFAST_RAFT_REQUEST_TIMEOUT': '60s'}
# What is under way when the limit is reached still arrives: what can be asked for again is given up at twice the limit.
# Beside that: the data (8 MiB), the log's cache (8 MiB), the heap's own pieces, buffers of sockets and of the log.
BOUND = 2 * LIMIT + 48 * MIB
CLIENTS, COMMANDS, SIZE = 40, 20, MIB
SERVED_SECONDS_MAX = 30


def resident(pid):
    with open(f'/proc/{pid}/status', encoding='ascii') as status:
        return int(re.search(r'VmRSS:\s+(\d+)', status.read())[1]) * 1024


class Watch(threading.Thread):
    """The most that a process had in memory while it was watched."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.most, self.done = pid, 0, threading.Event()
        self.start()

    def run(self):
        while not self.done.wait(0.02):
            self.most = max(self.most, resident(self.pid))

    def end(self):
        self.done.set()
        self.join()
        return self.most


def memory_info(client):
    text = client('INFO', 'memory').decode()
    return {name: int(value) for name, value in re.findall(r'^(memory_\w+):(\d+)', text, re.MULTILINE)}


def read_values(connection, count):
    """Reads that many bulk strings of SIZE bytes; returns how many came whole."""
    one = len(b'$%d\r\n' % SIZE) + SIZE + 2
    left = one * count
    while left > 0:
        data = connection.recv(min(left, MIB))
        if not data:
            break
        left -= len(data)
    return count - -(-left // one)


class Memory(cluster.TestCase):
    def start(self):
        dev = self.open(Dev, nodes=1, groups=2, env=SMALL)
        with dev.client() as client:
            for number in range(4):
                self.assertEqual(client('SET', f'big:{number}', b'x' * SIZE), Status('OK'))
            self.assertEqual(memory_info(client)['memory_limit'], LIMIT)
        return dev

    def connect(self, dev, **options):
        connection = socket.socket()
        self.addCleanup(connection.close)
        for option, value in options.items():
            connection.setsockopt(socket.SOL_SOCKET, getattr(socket, option), value)
        connection.settimeout(2 * cluster.PATIENCE_SECONDS)
        connection.connect(('127.0.0.1', dev.port))
        return connection

    def test_P4_slow_readers_ask_for_far_more_than_the_limit_and_get_it_when_they_read(self):
        dev = self.start()
        pid = dev.node_pid(1)
        before = resident(pid)
        watch = Watch(pid)
        slow = [self.connect(dev, SO_RCVBUF=65536) for _ in range(CLIENTS)]
        for number, connection in enumerate(slow):
            connection.sendall(encode('GET', f'big:{number % 4}') * COMMANDS)
        time.sleep(4)
        with dev.client(timeout=SERVED_SECONDS_MAX) as client:  # who wants little is served meanwhile
            self.assertEqual(client('PING'), Status('PONG'))
            cluster.wait_until(lambda: memory_info(client)['memory_full_total'] > 0, 'the limit is reached')

        def is_told():
            page = urllib.request.urlopen(f'http://{dev.nodes[0]["http"]}/metrics', timeout=SERVED_SECONDS_MAX)
            with page:
                text = page.read().decode()
            self.assertIn(f'holdfast_memory_limit_bytes {LIMIT}', text)
            return re.search(r'holdfast_memory_held_bytes\{account="clients"\} [1-9]\d{6,}', text)
        cluster.wait_until(is_told, 'what clients hold is told')
        got = [0] * CLIENTS

        def read(number):
            got[number] = read_values(slow[number], COMMANDS)
        readers = [threading.Thread(target=read, args=(number,)) for number in range(CLIENTS)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        most = watch.end()
        cluster.figure(f'memory: {CLIENTS * COMMANDS} MiB asked for with a limit of {LIMIT // MIB} MiB: '
                       f'{(most - before) // MIB} MiB above the {before // MIB} MiB before')
        self.assertEqual(got, [COMMANDS] * CLIENTS)
        self.assertLess(most - before, BOUND)
        with dev.client() as client:
            self.assertEqual(client('SET', 'after', '1'), Status('OK'))
            cluster.wait_until(lambda: memory_info(client)['memory_full'] == 0, 'the memory is no longer full')
            cluster.wait_until(lambda: memory_info(client)['memory_held'] < MIB, 'what was held is given back')
        self.assertEqual(dev.node_pid(1), pid)

    def test_P4_writers_send_far_more_than_the_limit_and_are_all_answered(self):
        dev = self.start()
        pid = dev.node_pid(1)
        watch = Watch(pid)
        before = resident(pid)
        replies = [b''] * CLIENTS

        def write(number):
            connection = self.connect(dev)
            command = encode('SET', f'w:{number % 8}', b'y' * SIZE)
            sender = threading.Thread(target=lambda: [connection.sendall(command) for _ in range(COMMANDS)])
            sender.start()
            while replies[number].count(b'\r\n') < COMMANDS:
                data = connection.recv(65536)
                if not data:
                    break
                replies[number] += data
            sender.join()
        writers = [threading.Thread(target=write, args=(number,)) for number in range(CLIENTS)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        most = watch.end()
        cluster.figure(f'memory: {CLIENTS * COMMANDS} MiB written with a limit of {LIMIT // MIB} MiB: '
                       f'{(most - before) // MIB} MiB above the {before // MIB} MiB before')
        self.assertEqual(replies, [b'+OK\r\n' * COMMANDS] * CLIENTS)
        self.assertLess(most - before, BOUND)
        with dev.client() as client:
            self.assertEqual(client('STRLEN', 'w:0'), SIZE)

    def test_data_beyond_its_limit_is_refused_before_it_is_proposed(self):
        dev = self.open(Dev, nodes=1, groups=1, env={'HOLDFAST_LIMITS_DATA_SIZE_MAX': '1MiB'})
        with dev.client() as client:
            for number in range(12):
                client('SET', f'k{number}', b'z' * 100000)
            last = dev.status(1)['groups'][1]['last']
            reply = client('SET', 'one-more', b'z' * 100000)
            self.assertIsInstance(reply, ReplyError)
            self.assertTrue(str(reply).startswith('OOM '), reply)
            self.assertEqual(dev.status(1)['groups'][1]['last'], last)
            self.assertEqual(client('DEL', 'k0', 'k1', 'k2'), 3)
            self.assertEqual(client('SET', 'one-more', b'z'), Status('OK'))

    def test_a_limit_out_of_its_range_is_refused_with_its_name(self):
        done = cluster.run('serve', '--data', self.folder(), '--set', 'memory_limit=1MiB')
        self.assertEqual(done.returncode, 2)
        self.assertIn('memory_limit', done.stderr)


if __name__ == '__main__':
    cluster.main()
