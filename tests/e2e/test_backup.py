"""Backups of the real program: saved from a running cluster under writes, checked, interrupted and gone on with, and
restored into a cluster with another number of groups."""
import base64
import json
import os
import shutil
import signal
import struct
import subprocess
import threading
import time

import cluster
from cluster import Dev, Status, run
from proxy import Proxy

VALUES = 160
VALUE_SIZE = 48 * 1024  # several chunks in each of four groups
SMALL = 2000


def decode(line, name):
    return base64.b64decode(line[name + '_base64']) if name + '_base64' in line else line[name].encode()


def heads(path):
    """[(offset, id of the snapshot)] of the groups that begin in a backup, or in a part of one."""
    data, at, found = path.read_bytes(), 64, []
    while data[at:at + 4] == b'HFBG' and at + 16 + 128 <= len(data):
        size = struct.unpack_from('<I', data, at + 12)[0]
        manifest = data[at + 16:at + 16 + size]
        found.append((at, manifest[16:32]))
        at += 16 + size + struct.unpack_from('<Q', manifest, 96)[0]
    return found, at <= len(data)


def size_of(path):
    """0 when it is not there, or goes at this moment."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class Writer(threading.Thread):
    """Counts keys up, and knows what was acknowledged and what was sent."""

    def __init__(self, dev):
        super().__init__(daemon=True)
        self.client = dev.client(3)
        self.acknowledged, self.sent = {}, {}
        self.is_over = threading.Event()
        self.failure = None

    def run(self):
        number = 0
        try:
            while not self.is_over.is_set():
                keys = [f'w:{(number + i) % 100}' for i in range(20)]
                for i, key in enumerate(keys):
                    self.sent[key] = number + i
                replies = self.client.pipeline([('SET', key, number + i) for i, key in enumerate(keys)])
                for i, (key, reply) in enumerate(zip(keys, replies)):
                    if reply == Status('OK'):
                        self.acknowledged[key] = number + i
                number += 20
        except (OSError, cluster.Closed) as error:
            self.failure = error

    def end(self):
        self.is_over.set()
        self.join(cluster.PATIENCE_SECONDS)
        self.client.close()


class BackupTest(cluster.TestCase):
    def source(self, **environment):
        dev = self.open(Dev, nodes=3, groups=4, env={**cluster.STEADY, **environment})
        dev.wait_writable()
        return dev

    def fill(self, dev):
        """{key: (value, deadline)}; 0: none."""
        later = int(time.time() * 1000) + 3600_000
        held = {f'big:{i}'.encode(): (os.urandom(VALUE_SIZE), 0) for i in range(VALUES)}
        for i in range(SMALL):
            key = os.urandom(12) if i % 7 == 0 else b'small:%d' % i
            held[key] = (b'text \xc3\xa4 %d' % i if i % 2 else os.urandom(i % 40), later + i if i % 3 == 0 else 0)
        with dev.client(1) as client:
            items = list(held.items())
            for at in range(0, len(items), 200):
                replies = client.pipeline([('SET', key, value) + (('PXAT', deadline) if deadline else ())
                                           for key, (value, deadline) in items[at:at + 200]])
                self.assertTrue(all(reply == Status('OK') for reply in replies), replies[:3])
        return held

    def contents(self, dev, keys):
        found = {}
        keys = list(keys)
        with dev.client(1) as client:
            for at in range(0, len(keys), 200):
                part = keys[at:at + 200]
                replies = client.pipeline([command for key in part
                                           for command in (('GET', key), ('PEXPIRETIME', key))])
                for key, value, deadline in zip(part, replies[::2], replies[1::2]):
                    found[key] = (value, max(deadline, 0))
        return found

    def size(self, dev):
        with dev.client(1) as client:
            return client('DBSIZE')

    def save(self, dev, path, *options, node=2):
        done = run('snapshot', 'save', path, '--address', dev.address(node), '--json', *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout) if path != '-' else None

    def exported(self, path, *options):
        done = run('snapshot', 'export', path, *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return {decode(line, 'key'): (decode(line, 'value'), line.get('deadline_ms', 0)) for line in lines}

    def test_a_backup_under_writes_comes_back_with_every_key_and_deadline_in_other_groups(self):
        dev = self.source()
        held = self.fill(dev)
        path = self.folder() / 'backup'
        writer = Writer(dev)
        writer.start()
        cluster.wait_until(lambda: len(writer.acknowledged) == 100, 'the writer has written')
        before = dict(writer.acknowledged)
        saved = self.save(dev, path)
        after = dict(writer.sent)
        writer.end()
        self.assertIsNone(writer.failure)
        self.assertEqual((saved['groups'], saved['bytes']), (4, path.stat().st_size))
        self.assertEqual(run('snapshot', 'verify', path).returncode, 0)
        shown = json.loads(run('snapshot', 'inspect', path, '--json').stdout)
        self.assertEqual(([group['group'] for group in shown['groups']], shown['damaged']), ([2, 3, 4, 5], False))
        self.assertEqual(shown['cluster'], dev.status(1)['cluster'])

        target = self.open(Dev, nodes=1, groups=2, env=cluster.STEADY)
        target.wait_writable()
        with target.client(1) as client:
            client('FLUSHALL')
        dry = run('snapshot', 'restore', path, '--address', target.address(1), '--dry-run')
        self.assertEqual((dry.returncode, self.size(target)), (0, 0), dry.stderr)
        done = run('snapshot', 'restore', path, '--address', target.address(1), '--json', '--progress', 'json')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('"progress": "restore"', done.stderr)

        exported = self.exported(path)
        self.assertEqual(json.loads(done.stdout)['keys'], len(exported))
        self.assertEqual(self.size(target), len(exported))
        self.assertEqual(self.contents(target, exported), exported)
        for key, entry in held.items():
            self.assertEqual(exported[key], entry, key)
        for key, number in before.items():
            found = int(exported[key.encode()][0])
            self.assertTrue(number <= found <= after[key], (key, number, found, after[key]))
        self.assertNotEqual(target.status(1)['cluster'], shown['cluster'])

        refused = run('snapshot', 'restore', path, '--address', target.address(1))
        self.assertEqual(refused.returncode, 1)
        self.assertIn('keys already', refused.stderr)
        again = run('snapshot', 'restore', path, '--address', target.address(1), '--force', '--quiet')
        self.assertEqual((again.returncode, again.stdout, self.size(target)), (0, '', len(exported)), again.stderr)

        self.assertEqual(self.exported(path, '--prefix', 'big:'),
                         {key: entry for key, entry in held.items() if key.startswith(b'big:')})
        self.assertEqual(self.exported(path, '--base64'), exported)

    def damaged(self, path, size=None, flip=None):
        data = bytearray(path.read_bytes())
        if flip is not None:
            data[flip] ^= 4
        other = path.with_name('damaged')
        other.write_bytes(data[:size])
        return other

    def test_a_truncated_and_a_flipped_backup_are_refused_by_group_and_chunk_and_nothing_is_written(self):
        dev = self.source()
        self.fill(dev)
        path = self.folder() / 'backup'
        self.save(dev, path)
        groups = json.loads(run('snapshot', 'inspect', path, '--json').stdout)['groups']
        target = self.open(Dev, nodes=1, groups=2, env=cluster.STEADY)
        third = path.stat().st_size - 64 - groups[3]['stored_bytes'] - 400  # near the end of group 4
        for damage in ({'size': third}, {'flip': third}):
            other = self.damaged(path, **damage)
            for words in (('verify', other), ('restore', other, '--address', target.address(1)), ('export', other)):
                done = run('snapshot', *words)
                self.assertEqual(done.returncode, 4, words)
                self.assertRegex(done.stderr, r'group 4, chunk %d of %d at byte \d+'
                                 % (groups[2]['chunks'] - 1, groups[2]['chunks']))
        for at in (3, 20, path.stat().st_size - 30):
            with open(self.damaged(path, flip=at), 'rb') as stream:
                self.assertEqual(run('snapshot', 'verify', '-', stdin=stream).returncode, 4)
        self.assertEqual(self.size(target), 0)

    def test_an_interrupted_save_goes_on(self):
        dev = self.source(HOLDFAST_SNAPSHOT_KEEP_LATEST='2')
        held = self.fill(dev)
        folder = self.folder()
        whole = folder / 'whole'
        self.save(dev, whole)
        size = whole.stat().st_size
        for cut in (0, 40, 64, 300, size // 3, size // 2, size - 30, size):
            path = folder / f'cut{cut}'
            part = folder / f'cut{cut}.part'
            part.write_bytes(whole.read_bytes()[:cut])
            refused = run('snapshot', 'save', path, '--address', dev.address(2))
            self.assertEqual(refused.returncode, 1)
            self.assertIn('--resume', refused.stderr)
            nobody = run('snapshot', 'save', path, '--resume', '--address', '127.0.0.1:1')
            self.assertIn('nothing was changed', nobody.stderr)
            self.assertEqual(part.stat().st_size, cut)
            saved = self.save(dev, path, '--resume')
            self.assertLessEqual(saved['resumed_bytes'], cut)
            self.assertGreaterEqual(saved['resumed_bytes'] + 300_000 + 64, cut if cut > 64 else 0)
            self.assertFalse(part.exists())
            again = run('snapshot', 'save', path, '--resume', '--address', dev.address(2))
            self.assertEqual(again.returncode, 1)
            self.assertIn('is there already', again.stderr)
            self.assertIn('choose another name', again.stderr)
            self.assertEqual(self.exported(path, '--prefix', 'big:'),
                             {key: entry for key, entry in held.items() if key.startswith(b'big:')})
        # Resumed from the same snapshots, it is the same file.
        self.assertEqual((folder / f'cut{size // 2}').read_bytes(), whole.read_bytes())

    def test_ctrl_c_ends_a_save_and_says_how_it_goes_on(self):
        dev = self.source()
        held = self.fill(dev)
        path = self.folder() / 'backup'
        part = path.with_name('backup.part')
        port = cluster.free_ports()
        self.open(Proxy, port, int(dev.address(2).rpartition(':')[2]), bytes_per_s=5_000_000)
        process = cluster.start('snapshot', 'save', path, '--address', f'127.0.0.1:{port}',
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        cluster.wait_until(lambda: part.exists() and part.stat().st_size > 1_000_000, 'something is saved', pause=0)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=cluster.PATIENCE_SECONDS)
        self.assertEqual((process.returncode, output), (130, ''), errors)
        self.assertIn('interrupted', errors)
        self.assertIn('--resume', errors)
        saved = self.save(dev, path, '--resume')
        self.assertGreater(saved['resumed_bytes'], 500_000)
        self.assertEqual(self.exported(path, '--prefix', 'big:'),
                         {key: entry for key, entry in held.items() if key.startswith(b'big:')})

    def test_a_save_that_is_killed_goes_on_and_a_group_whose_snapshot_is_gone_is_fetched_anew(self):
        dev = self.source(HOLDFAST_SNAPSHOT_KEEP_LATEST='2')
        self.fill(dev)
        path = self.folder() / 'backup'
        part = path.with_name('backup.part')
        process = cluster.start('snapshot', 'save', path, '--address', dev.address(2),
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cluster.wait_until(lambda: process.poll() is not None or size_of(part) > 1_000_000, 'something is saved',
                           pause=0)
        process.kill()
        process.wait()
        if path.exists():  # it was quicker than the signal
            shutil.move(path, part)
            os.truncate(part, part.stat().st_size // 2)
        pid = dev.kill_node(2)  # forgets which snapshots are being copied
        dev.wait_restarted(2, pid)
        dev.wait_writable()
        for i in range(3):
            with dev.client(2) as client:
                client.pipeline([('SET', f'later:{k}', i) for k in range(64)])
                client('RAFT.BARRIER')
                self.assertEqual(client('SAVE'), Status('OK'))
        begun, is_last_whole = heads(part)
        if is_last_whole:
            os.truncate(part, part.stat().st_size - 100)
        saved = self.save(dev, path, '--resume')
        self.assertEqual(saved['resumed_bytes'], begun[-1][0])  # what stands before the group that was under way
        now, _ = heads(path)
        self.assertEqual(now[:len(begun) - 1], begun[:-1])
        self.assertEqual(now[len(begun) - 1][0], begun[-1][0])
        self.assertNotEqual(now[len(begun) - 1][1], begun[-1][1])
        self.assertEqual(run('snapshot', 'verify', path).returncode, 0)
        exported = self.exported(path)
        self.assertEqual(sum(key.startswith(b'big:') for key in exported), VALUES)
        self.assertIn(b'2', {exported.get(b'later:%d' % k, (b'',))[0] for k in range(64)})  # of the groups fetched anew

    def test_a_backup_goes_through_a_pipe(self):
        dev = self.source()
        self.fill(dev)
        target = self.open(Dev, nodes=1, groups=2, env=cluster.STEADY)
        save = cluster.start('snapshot', 'save', '-', '--address', dev.address(1), stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL)
        done = run('snapshot', 'restore', '-', '--address', target.address(1), stdin=save.stdout)
        save.stdout.close()
        self.assertEqual((save.wait(), done.returncode), (0, 0), done.stderr)
        self.assertEqual(self.size(target), self.size(dev))
        nobody = run('snapshot', 'save', self.folder() / 'b', '--address', '127.0.0.1:1')
        self.assertEqual(nobody.returncode, 3)


if __name__ == '__main__':
    cluster.main()
