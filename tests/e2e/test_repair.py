"""Damage that heals: a byte of a node's log is flipped while it is down; the group that it concerns stays closed there
until the leader's entries are written again."""
import json
import re

import cluster
from cluster import Client, Closed, Dev, Process, Status

ENVIRONMENT = {**cluster.STEADY, 'HOLDFAST_LOG_SEGMENT_SIZE': '1MiB'}


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
        own = self.open(Dev, '--data', folder, nodes=3, groups=2, env=ENVIRONMENT)
        own.wait_writable()
        with own.client() as client:
            for i in range(30):
                self.assertEqual(client('SET', f'key{i}', f'<value number {i}>'), Status('OK'))
        for address in own.addresses:
            cluster.read(address, 'RAFT.BARRIER')  # what is damaged afterwards must have reached the node
        self.assertEqual(own.stop(), 0)
        return folder

    def start(self, folder):
        own = self.open(Dev, '--data', folder, nodes=3, groups=2, env=ENVIRONMENT)
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
        own.wait_settled()
        leader = own.leaders()[record['group']]
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


class LostVote(cluster.TestCase):
    """A group that lost its term and vote cannot be healed: what the node says is done, word by word."""

    def setUp(self):
        port = cluster.free_ports(12)
        self.clients = [f'127.0.0.1:{port + i}' for i in range(4)]
        self.peers = [f'127.0.0.1:{port + 4 + i}' for i in range(4)]
        self.folder_of = [self.folder() / str(i + 1) for i in range(4)]
        description = self.folder() / 'c.holdfast'
        nodes = [word for i in range(3) for word in
                 ('--node', f'{i + 1}={self.peers[i]},{self.clients[i]},127.0.0.1:{port + 8 + i}')]
        self.ok('init', '--cluster', description, '--groups', '2', *nodes)
        for i in range(3):
            self.ok('init', '--cluster', description, '--id', str(i + 1), '--data', self.folder_of[i])

    def ok(self, *arguments):
        done = cluster.run(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def serve(self, number):
        return self.open(Process, 'serve', '--data', self.folder_of[number], '--set', 'snapshot.at_stop=0s')

    def write(self, number, key, value):
        cluster.write(self.clients[number], key, value)

    def group(self, number, group):
        with Client(self.clients[number]) as client:
            rows = json.loads(client('RAFT.STATUS', 'JSON'))['groups']
        return next(row for row in rows if row['group'] == group)

    def is_closed(self, number, group):
        try:
            return self.group(number, group)['text'] != ''
        except (OSError, Closed):
            return False

    def test_what_the_node_says_brings_it_back_under_another_id(self):
        nodes = [self.serve(i) for i in range(3)]
        for i in range(40):
            self.write(i % 3, f'key{i}', i)
        cluster.read(self.clients[2], 'RAFT.BARRIER')
        nodes[2].stop(9)
        lines = cluster.run('log', 'dump', '--json', self.folder_of[2]).stdout.splitlines()
        records = [json.loads(line) for line in lines]
        record = [record for record in records if record.get('group') == 3 and record['kind'] == 'hard_state'][-1]
        path = self.folder_of[2] / 'log' / f'{record["segment"]:016x}.log'
        content = bytearray(path.read_bytes())
        content[record['offset'] + 34] ^= 0x10
        path.write_bytes(content)
        third = self.serve(2)
        cluster.wait_until(lambda: self.is_closed(2, 3), 'group 3 is closed')
        text = self.group(2, 3)['text']
        self.assertEqual(self.group(2, 2)['text'], '')
        said = re.search(r'next: holdfast (member remove 3 --address \S+); stop this node; '
                         r'holdfast (join --cluster \S+ --data) NEWDIR$', text)
        self.assertIsNotNone(said, text)
        self.ok(*said.group(1).split())
        third.stop()
        self.ok(*said.group(2).split(), self.folder_of[3], '--listen-peer', self.peers[3], '--listen-client',
                self.clients[3])
        self.serve(3)

        def has_votes():
            rows = json.loads(self.ok('member', 'list', '--json', '--address', self.clients[0]))['members']
            return {row['node']: row['votes_in'] for row in rows} == {1: 3, 2: 3, 4: 3}
        cluster.wait_until(has_votes, 'the new node votes in every group and the old one is forgotten', pause=0.2)
        self.assertEqual([cluster.read(self.clients[3], 'GET', f'key{i}') for i in range(40)],
                         [str(i).encode() for i in range(40)])
        # Its vote counts: without one of the old ones the groups go on.
        nodes[0].stop(9)
        self.write(3, 'after', 1)


if __name__ == '__main__':
    cluster.main()
