"""holdfast snapshot export of a data directory whose newest snapshot is damaged: the log stands in for it where it
reaches back, and is told; where it does not, nothing is printed unless an older state was asked for."""
import json
import shutil

import cluster
from cluster import Client, Process, Status, run

CORRUPTION, NOT_FOUND, USAGE = 4, 3, 2
ROUND = 60          # keys between two snapshots
GROUP = 2


def damage(path, offset=-1):
    """A wrong bit: in the last chunk, or in the header at 20."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if offset < 0 else offset] ^= 4
    path.write_bytes(content)


class SnapshotFallback(cluster.TestCase):
    def setUp(self):
        self.at = self.folder()
        self.data = self.at / 'data'
        port = cluster.free_ports(3)
        self.address = f'127.0.0.1:{port + 1}'
        file = self.at / 'c.holdfast'
        done = run('init', '--cluster', file, '--groups', 1,
                   f'--node=1=127.0.0.1:{port},{self.address},127.0.0.1:{port + 2}')
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run('init', '--cluster', file, '--id', 1, '--data', self.data)
        self.assertEqual(done.returncode, 0, done.stderr)

    def serve(self, data):
        node = self.open(Process, 'serve', '--data', data, '--set', 'snapshot.trail=1',
                         '--set', 'snapshot.at_stop=0s')
        cluster.write(self.address, 'writable', '1')
        return node

    def write(self, first):
        """One entry each; some go again, and some are to go later."""
        with Client(self.address) as client:
            for i in range(first, first + ROUND):
                self.assertEqual(client('SET', f'key:{i}', f'value {i}'), Status('OK'))
            client('DEL', f'key:{first}', f'key:{first - 1}')
            client('APPEND', f'key:{first - 2}', '+')
            client('PEXPIREAT', f'key:{first + 1}', 4000000000000)
            client('PEXPIREAT', f'key:{first + 2}', 1000)

    def take(self, rounds):
        """A directory that was left behind by a node that took so many snapshots, and wrote on."""
        node = self.serve(self.data)
        for number in range(rounds):
            self.write((number + 1) * ROUND)
            done = run('snapshot', 'take', '--address', self.address)
            self.assertEqual(done.returncode, 0, done.stderr)
        self.write(1000 * ROUND)
        self.assertEqual(node.stop(), 0)

    @staticmethod
    def snapshots(data):
        return sorted((data / 'snapshots').glob(f'{GROUP:016x}-*.snap'), reverse=True)

    def export(self, data, *options, code=0):
        done = run('snapshot', 'export', data, *options)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout, done.stderr

    def index(self, path):
        return int(path.name.split('-')[1], 16)

    def test_P2_the_log_stands_in_for_a_damaged_newest_snapshot_and_that_is_told(self):
        self.take(3)
        good, told = self.export(self.data)
        self.assertEqual(told, '')
        newest, before = (self.index(path) for path in self.snapshots(self.data)[:2])
        for offset in (-1, 20):
            data = self.at / f'copy{offset}'
            shutil.copytree(self.data, data)
            damage(self.snapshots(data)[0], offset)
            printed, told = self.export(data)
            self.assertEqual(printed, good)
            self.assertIn(f'group {GROUP}: its newest snapshot', told)
            self.assertIn(f'at index {newest}, is damaged', told)
            self.assertIn(f'the one at index {before} and entries {before + 1} to {newest} of the log take its place: '
                          'nothing is missing', told)
            self.assertEqual(self.export(data, '--json', '--quiet'), (good, told))

    def test_P2_a_state_that_lacks_entries_is_printed_only_when_it_is_asked_for(self):
        self.take(3)
        newest, before, oldest = self.snapshots(self.data)[:3]
        older, _ = self.export(oldest)
        damage(newest)
        damage(before)
        printed, told = self.export(self.data, code=CORRUPTION)
        self.assertEqual(printed, '')
        lacks = f'lacks entries {self.index(oldest) + 1} to {self.index(newest)}'
        for part in (newest.name[34:66], 'as are 1 before it', lacks, 'the log begins at entry', '--accept-older'):
            self.assertIn(part, told)
        printed, told = self.export(self.data, '--accept-older')
        self.assertEqual(printed, older)
        self.assertIn(lacks, told)
        damage(oldest)
        printed, told = self.export(self.data, '--accept-older', code=CORRUPTION)
        self.assertEqual(printed, '')
        self.assertIn('no good one is there', told)

    def test_P2_a_folder_of_snapshots_has_no_log_and_a_file_nothing_to_choose_from(self):
        self.take(2)
        newest = self.snapshots(self.data)[0]
        damage(newest)
        folder = self.data / 'snapshots'
        self.assertEqual(self.export(folder, code=CORRUPTION)[0], '')
        self.assertIn('there is no log beside the snapshots', self.export(folder, '--accept-older')[1])
        self.assertEqual(self.export(self.data, '--group', 7, code=NOT_FOUND)[0], '')
        self.assertEqual(self.export(newest, '--accept-older', code=USAGE)[0], '')
        self.assertEqual(self.export(newest, code=CORRUPTION)[0], '')

    def test_P2_a_whole_log_stands_in_for_the_only_snapshot_and_also_beside_a_running_node(self):
        self.take(1)
        good, _ = self.export(self.data)
        only, = self.snapshots(self.data)
        node = self.serve(self.data)
        self.write(2000 * ROUND)
        damage(only)
        printed, told = self.export(self.data)
        self.assertEqual(printed, good)
        self.assertIn(f'entries 1 to {self.index(only)} of the log take its place', told)
        self.assertEqual(node.stop(), 0)
        keys = {json.loads(line)['key'] for line in printed.splitlines()}
        self.assertIn(f'key:{ROUND + 1}', keys)
        self.assertNotIn(f'key:{ROUND}', keys)

    def test_P2_a_backup_never_has_an_older_state_where_the_newest_snapshot_is_damaged(self):
        node = self.serve(self.data)
        for number in (1, 2, 3):
            self.write(number * ROUND)
            done = run('snapshot', 'take', '--address', self.address)
            self.assertEqual(done.returncode, 0, done.stderr)
        good, _ = self.export(self.data)
        damage(self.snapshots(self.data)[0])
        backup = self.at / 'backup.hfb'
        done = run('snapshot', 'save', backup, '--address', self.address)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('ECORRUPT', done.stderr)
        self.assertFalse(backup.exists())
        done = run('snapshot', 'save', backup, '--address', self.address, '--resume')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.export(backup), (good, ''))
        again = self.at / 'again.hfb'
        done = run('snapshot', 'save', again, '--address', self.address)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.export(again), (good, ''))
        self.assertEqual(self.export(self.data), (good, ''))  # the node has taken another one
        self.assertIn('takes the place of the damaged one', node.log())
        self.assertEqual(node.stop(), 0)

    def test_P2_a_log_that_is_damaged_where_it_is_needed_does_not_stand_in(self):
        self.take(2)
        damage(self.snapshots(self.data)[0])
        for path in sorted((self.data / 'log').glob('*.log')):
            content = path.read_bytes()
            at = content.find(f'value {3 * ROUND - 5}'.encode())
            if at >= 0:
                path.write_bytes(content[:at] + b'V' + content[at + 1:])
        printed, told = self.export(self.data, code=CORRUPTION)
        self.assertEqual(printed, '')
        self.assertIn('the log is damaged there', told)


if __name__ == '__main__':
    cluster.main()
