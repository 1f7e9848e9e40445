"""A full disk: writes are refused with -MISCONF, nothing acknowledged is lost, and space that returns is used again.

The disk is a small file system in memory, so this needs root; otherwise the tests are skipped, and say so.
"""
import os
import pathlib
import subprocess
import unittest

import cluster
from cluster import Dev, ReplyError, Status

SMALL_LOG = {'HOLDFAST_LOG_SEGMENT_SIZE': '1MiB', 'HOLDFAST_LOG_RESERVE': '1MiB'}
DISK_MIB = 48
VALUE = 'x' * 4000


def mount(path, mebibytes):
    return subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={mebibytes}m', 'tmpfs', str(path)],
                          capture_output=True, text=True, check=False)


@unittest.skipUnless(os.geteuid() == 0, 'a small file system can only be mounted by root: full-disk tests are SKIPPED')
class FullDisk(cluster.TestCase):
    def disk(self, path):
        path.mkdir(parents=True, exist_ok=True)
        done = mount(path, DISK_MIB)
        if done.returncode != 0:
            self.skipTest(f'full-disk tests are SKIPPED: {done.stderr.strip()}')
        self.addCleanup(subprocess.run, ['umount', '-l', str(path)], check=False)
        return path

    def fill(self, disk):
        """Leaves a little; returns the file that takes the space."""
        ballast = disk / 'ballast'
        with open(ballast, 'wb', buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError:
                pass
        return ballast

    def write_until_refused(self, client, prefix, kept, times):
        """Writes until -MISCONF comes this many times on end; what was acknowledged before goes into kept.

        One refusal is not the end: a file that could not be made whole gives its blocks back, and so does a compaction.
        """
        refused = []
        for i in range(20000):
            reply = client('SET', f'{prefix}:{i}', f'{VALUE}{i}')
            if reply == Status('OK'):
                kept[f'{prefix}:{i}'] = f'{VALUE}{i}'.encode()
                refused = []
                continue
            self.assertIsInstance(reply, ReplyError)
            self.assertTrue(str(reply).startswith('MISCONF '), reply)
            refused.append(f'{prefix}:{i}')
            if len(refused) == times:
                return refused
        self.fail('the disk never became full')

    def assert_kept(self, client, kept):
        keys = list(kept)
        for at in range(0, len(keys), 100):
            piece = keys[at:at + 100]
            self.assertEqual(client('MGET', *piece), [kept[key] for key in piece])

    def test_H6_one_node_refuses_keeps_restarts_and_recovers(self):
        folder = self.folder()
        disk = self.disk(folder / 'data' / 'node1')
        dev = self.open(Dev, '--data', folder / 'data', nodes=1, groups=2, env=SMALL_LOG)
        kept = {}
        with dev.client() as client:
            for i in range(100):
                self.assertEqual(client('SET', f'early:{i}', i), Status('OK'))
                kept[f'early:{i}'] = str(i).encode()
            ballast = self.fill(disk)
            refused = self.write_until_refused(client, 'full', kept, times=40)
            self.assertEqual(client('PING'), Status('PONG'))
            self.assertEqual(client('MGET', *refused), [None] * len(refused))
            self.assert_kept(client, kept)
        # The node restarts on the full disk: nothing on the way up may need space that is not there.
        pid = dev.kill_node(1)
        dev.wait_restarted(1, pid)
        with dev.client() as client:
            cluster.wait_until(lambda: not isinstance(client('MGET', *list(kept)[:100]), ReplyError), 'every group answers reads')
            self.assert_kept(client, kept)
        os.unlink(ballast)
        dev.wait_writable()
        with dev.client() as client:
            self.assert_kept(client, kept)
            for i in range(200):
                self.assertEqual(client('SET', f'late:{i}', VALUE), Status('OK'))
        cluster.figure(f'full disk: {len(kept)} writes acknowledged before it was full, all there after it')
        self.assertEqual(dev.stop(), 0)

    def test_H6_one_full_disk_of_three_loses_nothing_and_the_others_serve(self):
        folder = self.folder()
        disk = self.disk(folder / 'data' / 'node2')
        dev = self.open(Dev, '--data', folder / 'data', env=SMALL_LOG)
        dev.wait_writable()
        kept = {}
        ballast = self.fill(disk)
        with dev.client(1) as client:
            acknowledged, is_full = 0, False
            for i in range(6000):
                reply = client('SET', f'k{i}', f'{VALUE}{i}')
                if reply == Status('OK'):
                    kept[f'k{i}'] = f'{VALUE}{i}'.encode()
                    acknowledged += 1
                else:
                    self.assertIsInstance(reply, ReplyError)
                    self.assertRegex(str(reply), '^(MISCONF|CLUSTERDOWN|INDETERMINATE) ')
                # Looked at again and again: a file that could not be made whole gives its blocks back.
                is_full = is_full or (i > 3000 and disk_free(disk) < 1 << 20)
                if is_full and acknowledged > 1000 and i % 100 == 0:
                    break
        # Groups that node 2 leads may refuse; the others must not stand still.
        cluster.figure(f'one full disk of three: {acknowledged} of {i + 1} writes acknowledged, all there after it')
        self.assertGreater(acknowledged, 1000)
        self.assertTrue(is_full, 'the disk was not full')
        os.unlink(ballast)
        dev.wait_writable()
        for number in (1, 2, 3):
            with dev.client(number) as client:
                self.assert_kept(client, kept)
        self.assertEqual(dev.stop(), 0)


def disk_free(path):
    state = os.statvfs(pathlib.Path(path))
    return state.f_bavail * state.f_frsize


if __name__ == '__main__':
    cluster.main()
