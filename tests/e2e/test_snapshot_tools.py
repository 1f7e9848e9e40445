"""holdfast snapshot list, verify and inspect on a data directory and on files: what they print and how they end."""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BINARY = os.environ.get('HOLDFAST_TEST_BINARY', str(ROOT / 'build' / 'release' / 'holdfast'))
GOLDEN = ROOT / 'tests' / 'golden'
CORRUPTION, NOT_FOUND, USAGE = 4, 3, 2


def run(*arguments):
    return subprocess.run([BINARY, 'snapshot', *map(str, arguments)], capture_output=True, text=True, timeout=60,
                          check=False)


def stored_name(path):
    """The name that a snapshot's file has in a directory of snapshots."""
    header = path.read_bytes()[:64]
    group, index = struct.unpack_from('<QQ', header, 32)
    return f'{group:016x}-{index:016x}-{header[16:32].hex()}.snap'


class SnapshotTools(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix='holdfast-snapshot-')
        self.addCleanup(folder.cleanup)
        self.data = pathlib.Path(folder.name)
        self.snapshots = self.data / 'snapshots'
        self.snapshots.mkdir()
        for name in ('lz4', 'zstd'):
            source = GOLDEN / f'snapshot_v1_{name}.snap'
            shutil.copy(source, self.snapshots / stored_name(source))

    def objects(self, *arguments, code=0):
        done = run(*arguments, '--json')
        self.assertEqual(done.returncode, code, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_a_data_directory_and_its_folder_list_the_same_and_nothing_changes(self):
        before = {path.name: path.stat().st_mtime_ns for path in self.snapshots.iterdir()}
        for where in (self.data, self.snapshots):
            listed = self.objects('list', where)
            self.assertEqual(sorted(row['compression'] for row in listed), ['lz4', 'zstd'])
            self.assertEqual({row['application_bytes'] for row in listed}, {9192})
        self.assertEqual({path.name: path.stat().st_mtime_ns for path in self.snapshots.iterdir()}, before)

    def test_one_is_chosen_by_its_id_and_a_wrong_id_is_not_found(self):
        chosen = self.objects('list', self.data)[1]
        self.assertEqual(self.objects('inspect', self.data, '--id', chosen['id']), [chosen])
        self.assertEqual(run('inspect', self.data, '--id', '0' * 32).returncode, NOT_FOUND)
        self.assertEqual(run('inspect', self.data, '--id', 'xyz').returncode, USAGE)
        self.assertEqual(self.objects('list', self.data, '--group', '5'), [])

    def test_P2_damage_is_named_and_ends_with_its_own_exit_code(self):
        self.assertEqual(run('verify', self.data).returncode, 0)
        damaged = next(iter(sorted(self.snapshots.iterdir())))
        content = bytearray(damaged.read_bytes())
        content[500] ^= 1
        damaged.write_bytes(content)
        rows = self.objects('verify', self.data, code=CORRUPTION)
        reasons = [row['reason'] for row in rows if row['damaged']]
        self.assertEqual(len(reasons), 1)
        self.assertIn('checksum of chunk 0', reasons[0])
        damaged.write_bytes(content[:-1])
        self.assertEqual(run('list', self.data).returncode, CORRUPTION)

    def test_a_file_is_read_by_itself(self):
        for name in ('none', 'gzip', 'lz4', 'zstd'):
            path = GOLDEN / f'snapshot_v1_{name}.snap'
            (row,) = self.objects('verify', path)
            self.assertEqual((row['compression'], row['damaged']), (name, False))
        self.assertEqual(run('verify', self.data / 'absent').returncode, NOT_FOUND)
        refused = run('verify', GOLDEN / 'snapshot_v999.snap')
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn('version 999', refused.stderr)


if __name__ == '__main__':
    unittest.main()
