"""The edges of a connection: whatever arrives is answered or closed, and the node lives on."""
import os
import random
import socket
import threading
import time
import unittest

import cluster
from cluster import Client, Closed, Dev, ReplyError, Status

KEY_SIZE_MAX = 4096
VALUE_SIZE_MAX = 64 << 20
SERVED_SECONDS_MAX = 30  # nine commands beside a client that reads nothing

dev = None


def setUpModule():
    global dev
    dev = Dev(groups=2, env=cluster.STEADY)
    unittest.addModuleCleanup(dev.discard)
    dev.wait_writable()


class Edges(cluster.TestCase):
    def tearDown(self):
        """Whatever the test sent: the same processes still serve."""
        for node in dev.nodes:
            with dev.client(node['id']) as client:
                self.assertEqual(client('SET', 'alive', 1), Status('OK'))
            self.assertEqual(dev.node_pid(node['id']), node['pid'], f'node {node["id"]} is another process')

    def answers(self, data, expected):
        with dev.client() as client:
            client.send_raw(data)
            for reply in expected:
                self.assertEqual(client.read(), reply)

    def closes(self, data, error=None):
        """The server answers with an error at most, then closes."""
        with dev.client() as client:
            replies = []
            try:
                client.send_raw(data)
                while True:
                    replies.append(client.read())
            except Closed:
                pass
            except TimeoutError:
                self.fail(f'{data[:60]!r} neither closed nor was answered: {replies!r}')
            if error is not None:
                self.assertEqual(len(replies), 1, replies)
                self.assertIsInstance(replies[0], ReplyError)
                self.assertIn(error, str(replies[0]))

    def test_inline_commands(self):
        self.answers(b'PING\r\n', [Status('PONG')])
        self.answers(b'PING\n', [Status('PONG')])
        self.answers(b'\r\n\r\nPING\r\n', [Status('PONG')])
        self.answers(b'SET inline "a b\\x41"\r\nGET inline\r\n', [Status('OK'), b'a bA'])
        self.answers(b"SET inline 'it''s'\r\n", [ReplyError('ERR Protocol error: unbalanced quotes in request')])
        self.answers(b'ECHO hello\r\n*1\r\n$4\r\nPING\r\n', [b'hello', Status('PONG')])

    def test_empty_arrays_are_skipped(self):
        self.answers(b'*0\r\nPING\r\n', [Status('PONG')])
        self.answers(b'*-1\r\nPING\r\n', [Status('PONG')])

    def test_malformed_requests_are_answered_with_an_error_and_closed(self):
        for data, error in (
                (b'*1\r\n$-1\r\n', 'invalid bulk length'),
                (b'*1\r\n$x\r\n', 'invalid bulk length'),
                (b'*x\r\n', 'invalid multibulk length'),
                (b'*1048577\r\n', 'invalid multibulk length'),
                (b'*99999999999999999999\r\n', 'invalid multibulk length'),
                (b'*1\r\n$999999999999\r\n', 'invalid bulk length'),
                (b'*1\r\n:4\r\n', "expected '$'"),
                (b'*1\r\n*1\r\n', "expected '$'"),
                (b'SET a "b\r\n', 'unbalanced quotes'),
                (b'x' * (70 << 10) + b'\r\n', 'too big inline request'),
                (b'*' + b'1' * (70 << 10), None),
                (b'*1\r\n$' + b'1' * (70 << 10), None)):
            with self.subTest(data=data[:40]):
                self.closes(data, error)

    def test_what_comes_before_a_malformed_request_is_answered(self):
        with dev.client() as client:
            client.send_raw(cluster.encode('SET', 'early', 1) + cluster.encode('GET', 'early') + b'*1\r\n$x\r\n')
            self.assertEqual(client.read(), Status('OK'))
            self.assertEqual(client.read(), b'1')
            self.assertIsInstance(client.read(), ReplyError)
            with self.assertRaises(Closed):
                client.read()

    def test_requests_may_come_byte_by_byte(self):
        with dev.client() as client:
            for byte in cluster.encode('SET', 'slow', 'a\r\nb') + cluster.encode('GET', 'slow'):
                client.send_raw(bytes([byte]))
            self.assertEqual(client.read(), Status('OK'))
            self.assertEqual(client.read(), b'a\r\nb')

    def test_noise_closes_or_answers(self):
        chance = random.Random(4)
        for _ in range(150):
            size = chance.choice((1, 10, 100, 5000))
            noise = bytes(chance.choice(b'*$:+-\r\n0123456789 "\'\\GETSx\x00\xff') for _ in range(size))
            with dev.client() as client:
                try:
                    client.send_raw(noise)
                    client.socket.shutdown(socket.SHUT_WR)
                    while client.socket.recv(1 << 16):
                        pass
                except (Closed, ConnectionError):
                    pass
                except TimeoutError:
                    self.fail(f'{noise[:60]!r} neither closed nor was answered')

    def test_a_client_that_stops_sending_still_gets_its_answers(self):
        with dev.client() as client:
            client.send_raw(cluster.encode('SET', 'half', 'closed') + cluster.encode('GET', 'half'))
            client.socket.shutdown(socket.SHUT_WR)
            self.assertEqual(client.read(), Status('OK'))
            self.assertEqual(client.read(), b'closed')
            with self.assertRaises(Closed):
                client.read()

    def test_clients_that_go_away_in_the_middle(self):
        for size in (1, 5, 17, 60):
            for _ in range(10):
                with dev.client() as client:
                    client.send_raw(cluster.encode('SET', 'gone', 'x' * 50)[:size])
        for _ in range(20):
            with dev.client() as client:
                client.send_raw(cluster.encode('INCR', 'gone:count') * 100)

    def test_keys_and_values_at_their_limits(self):
        with dev.client() as client:
            key = 'k' * KEY_SIZE_MAX
            self.assertEqual(client('SET', key, 1), Status('OK'))
            self.assertEqual(client('GET', key), b'1')
            reply = client('SET', key + 'k', 1)
            self.assertIsInstance(reply, ReplyError)
            self.assertIn('4096', str(reply))
            for number in (1, 2, 3):
                value = os.urandom(8 << 20)
                with dev.client(number) as other:
                    self.assertEqual(other('SET', 'large', value), Status('OK'))
                self.assertEqual(client('GET', 'large'), value)
            reply = client('SETRANGE', 'large', VALUE_SIZE_MAX, 'x')
            self.assertIsInstance(reply, ReplyError)
            self.assertEqual(client('STRLEN', 'large'), 8 << 20)
            self.assertEqual(client('DEL', 'large'), 1)

    def test_a_value_above_the_limit_is_refused_by_name_of_the_limit(self):
        with dev.client() as client:
            try:
                client.send_raw(b'*3\r\n$3\r\nSET\r\n$4\r\nhuge\r\n$%d\r\n' % (VALUE_SIZE_MAX + 1))
                client.send_raw(bytes(VALUE_SIZE_MAX + 1) + b'\r\n')
            except Closed:
                pass
            try:
                reply = client.read()
                self.assertIsInstance(reply, ReplyError)
            except Closed:
                pass
        with dev.client() as client:
            self.assertEqual(client('EXISTS', 'huge'), 0)

    def test_ten_thousand_commands_in_one_breath(self):
        with dev.client() as client:
            received = []

            def read():
                for _ in range(10000):
                    received.append(client.read())
            reader = threading.Thread(target=read)
            client('DEL', 'breath')
            reader.start()
            client.send_raw(cluster.encode('INCR', 'breath') * 10000)
            reader.join()
            self.assertEqual(received, list(range(1, 10001)))

    def resident_mib(self):
        """The memory of each node."""
        found = []
        for node in dev.nodes:
            with open(f'/proc/{node["pid"]}/status', encoding='ascii') as status:
                found.append(next(int(line.split()[1]) for line in status if line.startswith('VmRSS:')) >> 10)
        return found

    def never_read(self, number):
        """Asks node `number` for two gigabytes and reads nothing of it."""
        slow = socket.create_connection(('127.0.0.1', dev.port + number - 1), timeout=5)
        self.addCleanup(slow.close)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(1)
        try:
            for _ in range(2000):
                slow.sendall(cluster.encode('GET', 'wide'))
        except OSError:
            pass  # cut off, or its requests are no longer read: both bound the memory

    def test_a_reader_that_never_reads_costs_little_and_others_are_served(self):
        with dev.client() as client:
            self.assertEqual(client('SET', 'wide', 'x' * (1 << 20)), Status('OK'))
        highest = [0, 0, 0]
        # Through every node: one of them leads the key's group, the others forward.
        for number in (1, 2, 3):
            self.never_read(number)
            started = time.monotonic()
            for other in (1, 2, 3):
                with dev.client(other) as client:
                    self.assertEqual(client('PING'), Status('PONG'))
                    self.assertEqual(client('STRLEN', 'wide'), 1 << 20)
                    self.assertEqual(client('SET', 'besides', number), Status('OK'))
                highest = [max(pair) for pair in zip(highest, self.resident_mib())]
            self.assertLess(time.monotonic() - started, SERVED_SECONDS_MAX)
        cluster.figure(f'clients that read nothing cost the nodes at most {highest} MiB in all')
        self.assertLess(max(highest), 600)

    def test_hundreds_of_connections(self):
        clients = [dev.client(number % 3 + 1) for number in range(300)]
        try:
            for client in clients:
                client.send('INCR', 'many')
            self.assertEqual(sorted(client.read() for client in clients)[-1] >= 300, True)
        finally:
            for client in clients:
                client.close()

    def test_H20_noise_on_the_peer_port_and_the_http_port(self):
        chance = random.Random(5)
        for number in (1, 2, 3):
            for address in (dev.told_status(number)['peer'], dev.nodes[number - 1]['http']):
                for size in (0, 1, 20, 1000, 100000):
                    # An HTTP request that is never finished is closed after ten seconds: nothing to wait for.
                    with Client(address, timeout=0.5) as client:
                        try:
                            client.send_raw(chance.randbytes(size))
                            client.socket.shutdown(socket.SHUT_WR)
                            while client.socket.recv(1 << 16):
                                pass
                        except (Closed, OSError):
                            pass  # closed, reset, or nothing said for a while


if __name__ == '__main__':
    cluster.main()
