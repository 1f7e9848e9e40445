"""Damage that heals: a byte of a node's log is flipped while it is down; the group that it concerns stays closed there
until the leader's entries are written again."""
import json
import time

import cluster
from cluster import Dev, Status


def flip(data, text):
    """Flips a bit inside an entry that holds `text`; returns what the log said about the entry."""
    done = cluster.run('log', 'dump', '--json', data)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    record = next(record for record in records if text in record.get('payload', ''))
    path = data / 'log' / f'{record["segment"]:016x}.log'
    content = bytearray(path.read_bytes())
    content[content.index(text.encode(), record['offset']) + 3] ^= 0x20
    path.write_bytes(content)
    return record


class Repair(cluster.TestCase):
    def stopped(self):
        """The data of a stopped cluster of three, holding marked values."""
        folder = self.folder() / 'data'
        own = self.open(Dev, '--data', folder, nodes=3, groups=2, env={'HOLDFAST_LOG_SEGMENT_SIZE': '1MiB'})
        own.wait_writable()
        with own.client() as client:
            for i in range(30):
                self.assertEqual(client('SET', f'key{i}', f'<value number {i}>'), Status('OK'))
            client('RAFT.BARRIER')
        time.sleep(0.5)
        self.assertEqual(own.stop(), 0)
        return folder

    def start(self, folder):
        own = self.open(Dev, '--data', folder, nodes=3, groups=2, env={'HOLDFAST_LOG_SEGMENT_SIZE': '1MiB'})
        own.wait_writable()
        return own

    def repair(self, *arguments):
        done = cluster.run('log', 'repair', '--json', '--quiet', *arguments)
        self.assertNotIn('Sanitizer', done.stderr)
        return done, [json.loads(line) for line in done.stdout.splitlines()]

    def test_H3_a_node_repairs_itself_from_the_leader(self):
        folder = self.stopped()
        data = folder / 'node2'
        record = flip(data, '<value number 17>')
        self.assertEqual(cluster.run('log', 'verify', data).returncode, 4)
        done, rows = self.repair('--dry-run', data)
        self.assertEqual(done.returncode, 4, done.stderr)
        missing = [row for row in rows if row['kind'] == 'missing']
        self.assertEqual([(row['group'], row['first'], row['last']) for row in missing],
                         [(record['group'], record['index'], record['index'])])
        self.assertEqual(rows[-1]['missing'], 1)
        own = self.start(folder)
        done, rows = self.repair('--address', own.address(2))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(rows[-1], {'kind': 'summary', 'damaged_groups': 0})
        with own.client(2) as client:
            for i in range(30):
                self.assertEqual(client('GET', f'key{i}'), f'<value number {i}>'.encode())
        groups = {group['group']: group for group in own.status(2)['groups']}
        self.assertEqual(groups[record['group']]['text'], '')
        self.assertEqual(own.stop(), 0)
        done = cluster.run('log', 'verify', data)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('1 damaged places were repaired', done.stdout)

    def test_H3_a_stopped_log_is_repaired_from_a_peer(self):
        folder = self.stopped()
        own = self.start(folder)
        # A copy of node 2's log, as it would lie on a stopped machine, and damaged.
        self.assertEqual(own.stop(), 0)
        data = folder / 'node2'
        record = flip(data, '<value number 11>')
        copy = self.folder() / 'copy'
        copy.mkdir(parents=True)
        for path in (data / 'log').iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
        own = self.start(folder)
        leader = cluster.wait_until(lambda: own.leaders().get(record['group']), 15, 'the group is led')
        before = {path.name: path.read_bytes() for path in copy.iterdir()}
        done, rows = self.repair('--dry-run', '--from-peer', own.address(leader), copy)
        self.assertEqual((done.returncode, rows[-1]['missing']), (4, 1), done.stderr)
        self.assertEqual(before, {path.name: path.read_bytes() for path in copy.iterdir()})
        other = leader % 3 + 1
        done, rows = self.repair('--from-peer', own.address(other), copy)
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn(f'node {leader} leads the group', done.stderr)
        done, rows = self.repair('--from-peer', own.address(leader), copy)
        self.assertEqual((done.returncode, rows[-1]['missing'], rows[-1]['repaired']), (0, 0, 1), done.stderr)
        self.assertEqual(cluster.run('log', 'verify', copy).returncode, 0)
        done, rows = self.repair(copy)
        self.assertEqual((done.returncode, rows[-1]['damaged_groups']), (0, 0))

    def test_what_does_not_fit_together_is_a_usage_error(self):
        for arguments in ((), ('--address', '127.0.0.1:1', 'somewhere'), ('--group', '0', 'somewhere')):
            self.assertEqual(cluster.run('log', 'repair', *arguments).returncode, 2)
        self.assertEqual(cluster.run('log', 'repair', self.folder() / 'nothing').returncode, 3)


if __name__ == '__main__':
    cluster.main()
