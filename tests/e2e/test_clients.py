"""Unmodified clients: redis-cli, redis-benchmark, python3-redis, hiredis."""
import os
import pathlib
import shutil
import subprocess
import threading
import unittest

import cluster
from cluster import Dev

try:
    import redis
except ImportError:
    redis = None

HIREDIS_SMOKE = pathlib.Path(cluster.BINARY).resolve().parent / 'hiredis_smoke'
dev = None


def setUpModule():
    global dev
    dev = Dev(env=cluster.STEADY)
    unittest.addModuleCleanup(dev.discard)


def program(*arguments, text=None, timeout=2 * cluster.PATIENCE_SECONDS):
    return subprocess.run([*map(str, arguments)], input=text, capture_output=True, text=True, timeout=timeout,
                          check=False)


def command_line(number, *words, text=None):
    host, _, port = dev.address(number).rpartition(':')
    return program('redis-cli', '-h', host, '-p', port, *words, text=text)


@unittest.skipUnless(shutil.which('redis-cli'), 'redis-cli is missing: make setup installs it')
class RedisCli(cluster.TestCase):
    def check(self, number, words, expected, text=None):
        done = command_line(number, *words, text=text)
        self.assertEqual((done.returncode, done.stdout.strip(), done.stderr.strip()), (0, expected, ''), words)

    def test_every_node_answers_in_both_protocols(self):
        for number in (1, 2, 3):
            for protocol in ([], ['-3']):
                self.check(number, [*protocol, 'PING'], 'PONG')
                self.check(number, [*protocol, 'SET', f'cli:{number}', 'a b'], 'OK')
                self.check(number % 3 + 1, [*protocol, 'GET', f'cli:{number}'], 'a b')
                self.check(number, [*protocol, 'GET', 'cli:none'], '')
                self.check(number, [*protocol, 'DEL', f'cli:{number}'], '1')

    def test_commands_from_standard_input(self):
        done = command_line(1, text='SET cli:lines 1\nINCR cli:lines\nGET cli:lines\nMULTI\nINCR cli:lines\nEXEC\n')
        self.assertEqual(done.stdout.split(), ['OK', '2', '2', 'OK', 'QUEUED', '3'])

    def test_mass_insertion_through_a_pipe(self):
        text = b''.join(cluster.encode('SET', f'cli:pipe:{i}', 'x' * i) for i in range(1000)).decode()
        done = command_line(2, '--pipe', text=text)
        self.assertIn('errors: 0, replies: 1000', done.stdout)

    def test_a_scan_finds_every_key(self):
        wanted = {f'cli:scan:{i}' for i in range(300)}
        with dev.client() as client:
            client.pipeline([('SET', key, 1) for key in wanted])
        done = command_line(3, '--scan', '--pattern', 'cli:scan:*')
        self.assertEqual(set(done.stdout.split()), wanted)

    def test_info_and_the_health_of_a_master(self):
        done = command_line(1, 'INFO')
        for line in ('redis_version:7.', 'role:master', 'loading:0', 'cluster_enabled:0'):
            self.assertIn(line, done.stdout)


@unittest.skipUnless(shutil.which('redis-benchmark'), 'redis-benchmark is missing: make setup installs it')
class RedisBenchmark(cluster.TestCase):
    def test_ping_set_get_and_incr_run_through(self):
        for number, options in ((1, []), (2, ['-P', 16]), (3, ['-P', 16, '-r', 1000, '-d', 100]),
                                (1, ['--threads', 2]), (1, ['-k', 0, '-n', 200]), (1, ['-3'])):
            with self.subTest(options=options):
                host, _, port = dev.address(number).rpartition(':')
                done = program('redis-benchmark', '-h', host, '-p', port, '-t', 'ping,set,get,incr', '-n', 4000,
                               '--csv', *options)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertNotIn('rror', done.stdout + done.stderr)
                tests = [line.split('"')[1] for line in done.stdout.splitlines()[1:] if line.startswith('"')]
                self.assertEqual(tests, ['PING_INLINE', 'PING_MBULK', 'SET', 'GET', 'INCR'])


@unittest.skipUnless(redis, 'python3-redis is missing: make setup installs it')
class PythonRedis(cluster.TestCase):
    def connect(self, number, **options):
        host, _, port = dev.address(number).rpartition(':')
        connection = redis.Redis(host=host, port=int(port), **options)
        self.addCleanup(connection.close)
        return connection

    def test_plain_commands_on_every_node(self):
        for number in (1, 2, 3):
            client = self.connect(number, client_name=f'test-{number}')
            self.assertTrue(client.ping())
            self.assertEqual(client.client_getname(), f'test-{number}')
            self.assertTrue(client.set('py:a', number, ex=100))
            self.assertEqual(self.connect(number % 3 + 1).get('py:a'), str(number).encode())
            self.assertIsNone(client.set('py:a', 'other', nx=True))
            self.assertEqual(client.set('py:a', 'new', get=True), str(number).encode())
            self.assertEqual(client.append('py:a', '!'), 4)
            self.assertEqual(client.getrange('py:a', 0, 2), b'new')
            self.assertEqual(client.delete('py:a', 'py:none'), 1)
            self.assertIsNone(client.get('py:a'))
            self.assertEqual(client.incrby('py:n', 5) - client.decrby('py:n', 2), 2)
            self.assertEqual(client.type('py:n'), b'string')
            self.assertEqual(client.info()['role'], 'master')
            self.assertGreaterEqual(client.dbsize(), 1)

    def test_times_to_live(self):
        client = self.connect(1)
        client.set('py:ttl', 'x')
        self.assertEqual(client.ttl('py:ttl'), -1)
        self.assertTrue(client.expire('py:ttl', 100))
        self.assertTrue(100 - cluster.PATIENCE_SECONDS // 2 <= client.ttl('py:ttl') <= 100)
        self.assertTrue(client.persist('py:ttl'))
        self.assertEqual(client.pttl('py:ttl'), -1)
        self.assertTrue(client.pexpire('py:ttl', 50))
        cluster.wait_until(lambda: not client.exists('py:ttl'), 'the key expires')
        self.assertEqual(client.ttl('py:ttl'), -2)

    def test_a_pipeline_with_and_without_a_transaction(self):
        client = self.connect(2)
        for transaction in (True, False):
            with client.pipeline(transaction=transaction) as pipe:
                pipe.set('{py}:x', 1).incr('{py}:x').get('{py}:x').mget('{py}:x', '{py}:none')
                self.assertEqual(pipe.execute(), [True, 2, b'2', [b'2', None]])

    def test_optimistic_locking_sees_a_change_through_another_node(self):
        client, other = self.connect(1), self.connect(3)
        client.set('{py}:w', 1)
        with client.pipeline() as pipe:
            pipe.watch('{py}:w')
            other.set('{py}:w', 2)
            pipe.multi()
            pipe.set('{py}:w', 3)
            with self.assertRaises(redis.WatchError):
                pipe.execute()

        def double(pipe):
            value = int(pipe.get('{py}:w'))
            pipe.multi()
            pipe.set('{py}:w', 2 * value)
        self.assertEqual(client.transaction(double, '{py}:w'), [True])
        self.assertEqual(other.get('{py}:w'), b'4')

    def test_counters_through_all_nodes_lose_nothing(self):
        def count(number):
            client = self.connect(number)
            for _ in range(200):
                client.incr('py:shared')
        threads = [threading.Thread(target=count, args=(number,)) for number in (1, 2, 3, 1, 2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([self.connect(number).get('py:shared') for number in (1, 2, 3)], [b'1200'] * 3)

    def test_scan_iter_finds_every_key(self):
        client = self.connect(1)
        wanted = {f'py:scan:{i}'.encode() for i in range(500)}
        with client.pipeline(transaction=False) as pipe:
            for key in wanted:
                pipe.set(key, 1)
            pipe.execute()
        self.assertEqual(set(client.scan_iter('py:scan:*', count=50)), wanted)
        self.assertEqual(set(client.keys('py:scan:*')), wanted)

    def test_values_of_every_byte_and_of_a_megabyte(self):
        client = self.connect(3)
        for value in (b'', bytes(range(256)), b'\r\n$5\r\n', os.urandom(1 << 20)):
            client.set('py:bytes', value)
            self.assertEqual(self.connect(1).get('py:bytes'), value)
            self.assertEqual(client.strlen('py:bytes'), len(value))


class Hiredis(cluster.TestCase):
    def test_the_smoke_program_passes_on_every_node(self):
        self.assertTrue(HIREDIS_SMOKE.exists(), f'{HIREDIS_SMOKE} was not built')
        for number in (1, 2, 3):
            host, _, port = dev.address(number).rpartition(':')
            done = program(HIREDIS_SMOKE, host, port)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == '__main__':
    cluster.main()
