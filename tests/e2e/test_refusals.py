"""What must be refused is refused with a sentence, the right exit code, and nothing changed."""
import os
import shutil
import struct

import cluster
from cluster import Client, Closed, Process, Status

CRC32C_POLYNOMIAL = 0x82f63b78
NEWER = 999  # a version of a format that no program knows for long


def crc32c(data):
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (CRC32C_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


def snapshot(folder):
    """Everything below a folder: {path: bytes}."""
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob('*')) if path.is_file() and path.name != 'LOCK'}


class Refusals(cluster.TestCase):
    def setUp(self):
        self.home = self.folder()

    def describe(self, name='c.holdfast', nodes=1, groups=2):
        """A cluster description; returns its file and the client addresses."""
        port = cluster.free_ports(3 * nodes)
        members, addresses = [], []
        for i in range(nodes):
            own = [f'127.0.0.1:{port + 3 * i + j}' for j in range(3)]
            members += ['--node', f'{i + 1}={own[0]},{own[1]},{own[2]}']
            addresses.append(own[1])
        file = self.home / name
        done = cluster.run('init', '--cluster', file, '--groups', groups, *members)
        self.assertEqual((done.returncode, done.stdout), (0, ''), done.stderr)
        return file, addresses

    def format(self, file, number=1, name=None):
        data = self.home / (name or f'data{number}')
        done = cluster.run('init', '--cluster', file, '--id', number, '--data', data)
        self.assertEqual((done.returncode, done.stdout), (0, ''), done.stderr)
        return data

    def serve(self, data, address, *arguments):
        process = self.open(Process, 'serve', '--data', data, *arguments)

        def answers():
            self.assertIsNone(process.process.poll(), process.log())
            try:
                with Client(address) as client:
                    return client('SET', 'ready', 1) == Status('OK')
            except (OSError, Closed):
                return False
        cluster.wait_until(answers, 'the node serves')
        return process

    def refused(self, code, words, *arguments, unchanged=None, env=None):
        """Runs the program to its end: it must fail with the code and say every one of the words."""
        before = snapshot(unchanged) if unchanged is not None else None
        done = cluster.run(*arguments, env={**os.environ, **(env or {})})
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(done.stdout, '')
        self.assertTrue(done.stderr.startswith('error: ') or code == 2, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        if unchanged is not None:
            self.assertEqual(snapshot(unchanged), before, 'files changed although it was refused')
        return done.stderr

    # ---- the data directory ----

    def test_a_data_directory_in_use(self):
        file, addresses = self.describe()
        data = self.format(file)
        process = self.serve(data, addresses[0])
        other = cluster.free_ports(3)
        self.refused(1, [str(data), 'in use', 'next: '], 'serve', '--data', data, '--listen-client',
                     f'127.0.0.1:{other}', '--listen-http', f'127.0.0.1:{other + 1}', '--listen-peer',
                     f'127.0.0.1:{other + 2}')
        with Client(addresses[0]) as client:
            self.assertEqual(client('GET', 'ready'), b'1')
        self.assertEqual(process.stop(), 0)
        again = self.serve(data, addresses[0])
        self.assertEqual(again.stop(), 0)

    def test_a_data_directory_that_was_never_formatted(self):
        empty = self.home / 'empty'
        empty.mkdir()
        self.refused(3, ['next: holdfast init'], 'serve', '--data', empty, unchanged=empty)
        self.refused(3, ['next: holdfast init'], 'serve', '--data', self.home / 'missing')

    def test_a_data_directory_is_formatted_once(self):
        file, _ = self.describe()
        data = self.format(file)
        self.refused(1, ['next: '], 'init', '--cluster', file, '--id', 1, '--data', data, unchanged=data)
        self.refused(1, ['exists', 'next: '], 'init', '--cluster', file, '--node',
                     '1=127.0.0.1:1,127.0.0.1:2,127.0.0.1:3')

    def test_a_data_directory_of_another_cluster(self):
        first, second = self.describe('a.holdfast')[0], self.describe('b.holdfast')[0]
        data, other = self.format(first, name='a'), self.format(second, name='b')
        shutil.copy(other / 'cluster', data / 'cluster')
        self.refused(1, ['cluster', 'next: '], 'serve', '--data', data, unchanged=data)

    def test_a_member_list_without_this_node(self):
        file, _ = self.describe(nodes=3)
        self.refused(2, ['has no node 9'], 'init', '--cluster', file, '--id', 9, '--data', self.home / 'data9')
        self.assertFalse((self.home / 'data9').exists())
        # The same found when it starts: an identity that the description does not list.
        data = self.format(file, 1)
        identity = bytearray((data / 'node').read_bytes())
        identity[32:40] = struct.pack('<Q', 9)
        identity[12:16] = struct.pack('<I', crc32c(identity[:12] + identity[16:]))
        (data / 'node').write_bytes(identity)
        self.refused(1, ['9', 'next: '], 'serve', '--data', data, unchanged=data)

    def test_a_newer_format(self):
        file, _ = self.describe()
        data = self.format(file)
        good = (data / 'node').read_bytes()
        # A version that is not known, and a known one that asks for a feature which is not.
        for version, more, text in ((NEWER, b'', f'version {NEWER}'), (2, struct.pack('<Q', 1 << 63), 'needs features')):
            newer = bytearray(good + more)
            newer[8:12] = struct.pack('<I', version)
            newer[12:16] = struct.pack('<I', crc32c(newer[:12] + newer[16:]))
            (data / 'node').write_bytes(newer)
            self.refused(1, [text, 'next: '], 'serve', '--data', data, unchanged=data)
        (data / 'node').write_bytes(good)
        description = bytearray((data / 'cluster').read_bytes())
        description[8:12] = struct.pack('<I', NEWER)
        description[16:20] = struct.pack('<I', crc32c(description[:16] + description[20:]))
        (data / 'cluster').write_bytes(description)
        self.refused(1, [f'version {NEWER}', 'next: '], 'serve', '--data', data, unchanged=data)

    def test_a_log_of_a_newer_format(self):
        file, addresses = self.describe()
        data = self.format(file)
        self.assertEqual(self.serve(data, addresses[0], '--set', 'log.segment_size=1MiB').stop(), 0)
        for segment in (data / 'log').glob('*.log'):
            content = bytearray(segment.read_bytes())
            content[12:16] = struct.pack('<I', NEWER)
            content[8:12] = struct.pack('<I', crc32c(content[12:4096]))
            segment.write_bytes(content)
        self.refused(1, [f'version {NEWER}', 'next: '], 'serve', '--data', data, unchanged=data)
        self.refused(1, [f'version {NEWER}'], 'log', 'verify', data, unchanged=data)

    def test_damaged_files(self):
        file, _ = self.describe()
        data = self.format(file)
        for name in ('node', 'cluster'):
            with self.subTest(file=name):
                good = (data / name).read_bytes()
                for position in (0, len(good) // 2, len(good) - 1):
                    bad = bytearray(good)
                    bad[position] ^= 0x10
                    (data / name).write_bytes(bad)
                    self.refused(4, [str(data / name), 'next: '], 'serve', '--data', data, unchanged=data)
                (data / name).write_bytes(good[:len(good) // 2])
                self.refused(4, [str(data / name), 'next: '], 'serve', '--data', data, unchanged=data)
                (data / name).write_bytes(good)
        text = file.read_text()
        middle = len(text) // 2
        file.write_text(text[:middle] + ('A' if text[middle] != 'A' else 'B') + text[middle + 1:])
        self.refused(4, [str(file)], 'init', '--cluster', file, '--id', 1, '--data', self.home / 'new')
        file.write_text('not a description')
        self.refused(4, [str(file)], 'init', '--cluster', file, '--id', 1, '--data', self.home / 'new')
        self.assertFalse((self.home / 'new').exists())

    # ---- ports ----

    def test_a_port_in_use(self):
        file, addresses = self.describe('a.holdfast')
        process = self.serve(self.format(file), addresses[0])
        other, other_addresses = self.describe('b.holdfast')
        data = self.format(other, name='b')
        # A node without peers opens no port for them.
        many = self.format(self.describe('c.holdfast', nodes=3)[0], name='c')
        for flag, folder in (('--listen-client', data), ('--listen-http', data), ('--listen-peer', many)):
            with self.subTest(flag=flag):
                self.refused(1, [addresses[0], 'in use', 'next: '], 'serve', '--data', folder, flag, addresses[0])
        with Client(addresses[0]) as client:
            self.assertEqual(client('GET', 'ready'), b'1')
        self.assertEqual(process.stop(), 0)
        self.assertEqual(self.serve(data, other_addresses[0]).stop(), 0)

    # ---- words and configuration ----

    def test_unknown_options_verbs_and_values(self):
        for words, arguments in ((['--wrong'], ['serve', '--wrong']), (['--wrong'], ['dev', '--json', '--wrong']),
                                 (["'conquer'"], ['conquer']), (["'x'"], ['dev', '--nodes', 'x']),
                                 (["'log.nothing'"], ['serve', '--data', self.home, '--set', 'log.nothing=1'])):
            with self.subTest(arguments=arguments):
                self.refused(2, words, *arguments)

    def test_an_unknown_key_is_named_with_its_own_line(self):
        file, _ = self.describe()
        data = self.format(file)
        config = self.home / 'holdfast.yaml'
        config.write_text(f'data: {data}\nlog:\n  segment_size: 1MiB\n  # a comment\n  sgement: 2MiB\nraft:\n'
                          '  heartbeat: 100ms\n')
        self.refused(2, [f'{config}:5:', "unknown key 'log.sgement'"], 'serve', '--config', config, unchanged=data)
        self.refused(2, [f'{config}:5:', "unknown key 'log.sgement'"], 'config', 'check', config)
        config.write_text(f'data: {data}\nlog:\n  segment_size: 1MB\n')
        self.refused(2, [f'{config}:3:', 'log.segment_size', 'outside'], 'serve', '--config', config, unchanged=data)

    def test_an_unknown_variable_of_the_environment(self):
        file, _ = self.describe()
        data = self.format(file)
        self.refused(2, ['HOLDFAST_LOG_SGEMENT'], 'serve', '--data', data, env={'HOLDFAST_LOG_SGEMENT': '1'},
                     unchanged=data)

    def test_a_configuration_file_runs_a_node(self):
        file, addresses = self.describe()
        data = self.format(file)
        config = self.home / 'holdfast.yaml'
        config.write_text(f'data: {data}\nlog:\n  segment_size: 1MiB\n  io: pwritev2\n'
                          'raft:\n  election_timeout: 300ms\n')
        process = self.open(Process, 'serve', '--config', config)

        def answers():
            try:
                with Client(addresses[0]) as client:
                    return client('SET', 'a', 1) == Status('OK')
            except (OSError, Closed):
                return False
        cluster.wait_until(answers, 'the node serves')
        self.assertEqual({path.stat().st_size for path in (data / 'log').glob('*.log')}, {1 << 20})
        self.assertIn('pwritev2', process.log())
        self.assertEqual(process.stop(), 0)


if __name__ == '__main__':
    cluster.main()
