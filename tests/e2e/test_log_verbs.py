"""The verbs on a log's files, where there is no server: every version, damage, and folders that hold no log."""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import unittest

import cluster

GOLDEN = cluster.ROOT / 'tests' / 'golden'
SEGMENT = '0000000000000001.log'
READERS = ('dump', 'tail', 'stat', 'digest', 'export', 'verify', 'repair')
NOBODY = 65534


class LogVerbs(cluster.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='holdfast-verbs-'))
        os.chmod(self.folder, 0o755)
        self.addCleanup(shutil.rmtree, self.folder)

    def golden(self, version, name='log'):
        folder = self.folder / name
        folder.mkdir()
        shutil.copy(GOLDEN / f'log_v{version}.log', folder / SEGMENT)
        return folder

    def say(self, *arguments, **options):
        return subprocess.run([cluster.BINARY, 'log', *map(str, arguments)], capture_output=True, timeout=60,
                              check=False, **options)

    def test_every_version_is_read_by_every_verb(self):
        for version in (1, 2, 3):
            folder = self.golden(version, f'v{version}')
            for verb in READERS:
                for json_asked in (False, True):
                    done = self.say(verb, folder, *(['--json'] if json_asked else []))
                    self.assertEqual(done.returncode, 0, (version, verb, done.stderr))
                    if json_asked:
                        for line in done.stdout.splitlines():
                            json.loads(line)

    def test_numbers_of_64_bits_are_never_negative(self):
        folder = self.golden(3)
        for verb in ('dump', 'tail', 'export'):
            lines = [json.loads(line) for line in self.say(verb, folder, '--json').stdout.splitlines()]
            times = [line['timestamp_ms'] for line in lines if 'timestamp_ms' in line]
            self.assertTrue(all(time >= 0 for time in times), verb)
            self.assertIn(2**64 - 2, times)

    def test_where_there_is_no_log_every_verb_says_so(self):
        (self.folder / 'empty').mkdir()
        (self.folder / 'foreign').mkdir()
        (self.folder / 'foreign' / 'notes.txt').write_text('nothing of ours')
        for name in ('missing', 'empty', 'foreign'):
            for verb in READERS:
                done = self.say(verb, self.folder / name)
                self.assertEqual(done.returncode, 3, (name, verb))
                self.assertEqual(done.stdout, b'', (name, verb))
                self.assertIn(b'there is no log in', done.stderr, (name, verb))
                self.assertIn(b'data directory', done.stderr, (name, verb))
        self.assertFalse((self.folder / 'missing').exists())

    def test_a_log_that_is_closed_to_the_user_is_not_taken_for_none(self):
        if os.geteuid() != 0 or shutil.which('setpriv') is None:
            self.skipTest('needs to become another user')
        data = self.folder / 'data'
        data.mkdir()
        folder = self.golden(3, 'data/log')
        os.chmod(folder, 0o700)
        binary = self.folder / 'holdfast'
        shutil.copy(cluster.BINARY, binary)
        for verb in READERS:
            done = subprocess.run(['setpriv', f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups', binary,
                                   'log', verb, data], capture_output=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 1, (verb, done))
            self.assertIn(b'Permission denied', done.stderr, verb)
            self.assertNotIn(b'verify names', done.stderr, verb)

    def test_output_that_is_not_all_there_is_an_error(self):
        folder = self.golden(3)
        for verb in READERS:
            for extra in ([], ['--json']):
                with open('/dev/full', 'wb') as full:
                    done = subprocess.run([cluster.BINARY, 'log', verb, folder, *extra], stdout=full,
                                          stderr=subprocess.PIPE, timeout=60, check=False)
                self.assertNotEqual(done.returncode, 0, (verb, extra))

    def test_damage_beside_everything_that_is_needed_is_not_a_riddle(self):
        folder = self.golden(3)
        with open(folder / SEGMENT, 'r+b') as segment:
            segment.write(struct.pack('<I', 0))
        verified = self.say('verify', folder)
        self.assertEqual(verified.returncode, 4)
        self.assertIn(b'log repair', verified.stderr)
        repaired = self.say('repair', folder)
        self.assertEqual(repaired.returncode, 0)
        self.assertIn(b'what is damaged holds nothing that a group needs', repaired.stdout)

    def test_a_term_that_nobody_knows_is_not_called_0(self):
        folder = self.golden(3)
        with open(folder / SEGMENT, 'r+b') as segment:
            segment.seek(4096 + 200)
            segment.write(b'\xff\xff')
        done = self.say('verify', folder)
        self.assertEqual(done.returncode, 4)
        self.assertIn(b'group 1, index 2, term unknown', done.stderr)


if __name__ == '__main__':
    cluster.main()
