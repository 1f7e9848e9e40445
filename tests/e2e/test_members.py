"""Members that come and go, as a person does it: join, list, demote, remove, move; and what is refused."""
import json
import pathlib
import shutil
import unittest

import cluster
from cluster import Client, Dev, Process, Status


def members(address):
    done = cluster.run('member', 'list', '--address', address, '--json')
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def row(address, node):
    return next((member for member in members(address)['members'] if member['node'] == node), None)


class Member(cluster.TestCase):
    def setUp(self):
        self.dev = self.open(Dev, '--no-restart', groups=2)
        self.dev.wait_writable()
        self.data = self.folder() / 'data'
        self.port = cluster.free_ports(2)

    def join(self, *options, through=1):
        return cluster.run('join', '--cluster', self.dev.address(through), '--data', self.data, '--listen-peer',
                           f'127.0.0.1:{self.port}', '--listen-client', f'127.0.0.1:{self.port + 1}', *options)

    def serve(self, *options):
        return self.open(Process, 'serve', '--data', self.data, *options)

    def wait_votes(self, node, votes, address=None):
        address = address or self.dev.address(1)

        def has_votes():
            member = row(address, node)
            return member is not None and member['votes_in'] == votes
        cluster.wait_until(has_votes, f'node {node} votes in {votes} groups', pause=0.2)

    def test_a_node_joins_votes_and_takes_every_command(self):
        with self.dev.client() as client:
            for i in range(200):
                self.assertEqual(client('SET', f'key:{i}', i), Status('OK'))
        done = self.join('--dry-run')
        self.assertEqual((done.returncode, done.stdout), (0, ''), done.stderr)
        self.assertEqual(len(members(self.dev.address(2))['members']), 3)
        done = self.join(through=2)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('node 4 is a member', done.stderr)
        again = self.join()
        self.assertEqual(again.returncode, 1)
        self.assertIn('formatted already', again.stderr)
        self.serve()
        self.wait_votes(4, 3)
        with Client(f'127.0.0.1:{self.port + 1}') as client:
            for i in range(200):
                self.assertEqual(client('GET', f'key:{i}'), str(i).encode())
            self.assertEqual(client('SET', 'from', 'four'), Status('OK'))
        # One of the first three may go for good now, and the others still are a majority with one down.
        done = cluster.run('member', 'remove', 1, '--address', self.dev.address(2))
        self.assertEqual(done.returncode, 0, done.stderr)
        cluster.wait_until(lambda: row(self.dev.address(2), 1) is None, 'node 1 has left', pause=0.2)
        cluster.wait_until(lambda: 'this node was removed' in self.dev.log(), 'node 1 says that it was removed')
        said = next(line for line in self.dev.log().splitlines() if 'this node was removed' in line)
        self.assertEqual(said.count('next:'), 1, said)
        with Client(f'127.0.0.1:{self.port + 1}') as client:
            self.assertEqual(client('GET', 'from'), b'four')
        with self.dev.client(1) as client:
            self.assertIn('CLUSTERDOWN', str(client('GET', 'from')))

    def test_a_lost_disk_is_replaced_as_the_refusal_says(self):
        done = self.join()
        self.assertEqual(done.returncode, 0, done.stderr)
        node = self.serve()
        self.wait_votes(4, 3)
        node.stop()
        shutil.rmtree(self.data)
        done = self.join()
        self.assertEqual(done.returncode, 1)
        self.assertIn('next: holdfast member remove 4', done.stderr)
        done = cluster.run('serve', '--data', self.data)
        self.assertEqual(done.returncode, 3)
        self.assertIn('a holdfast join was begun there', done.stderr)
        done = cluster.run('member', 'remove', 4, '--address', self.dev.address(3))
        self.assertEqual(done.returncode, 0, done.stderr)
        cluster.wait_until(lambda: row(self.dev.address(1), 4) is None, 'node 4 has left', pause=0.2)
        done = self.join('--json')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)['node'], 5)
        self.serve()
        self.wait_votes(5, 3)

    def test_votes_are_taken_and_given_back(self):
        address = self.dev.address(1)
        done = cluster.run('member', 'demote', 3, '--address', address, '--json')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)['node'], 3)
        self.wait_votes(3, 0)
        self.assertEqual(row(address, 3)['role'], 'standby')
        done = cluster.run('member', 'transfer', 3, '--group', 2, '--address', address)
        self.assertEqual(done.returncode, 1)
        self.assertIn('node 3 has no vote in group 2', done.stderr)
        self.assertIn('next: holdfast member promote 3', done.stderr)
        done = cluster.run('member', 'demote', 2, '--address', address)
        self.assertEqual(done.returncode, 1)
        self.assertIn('single voter', done.stderr)
        self.assertIn('--force', done.stderr)
        done = cluster.run('member', 'promote', 3, '--address', self.dev.address(3))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.wait_votes(3, 3)
        done = cluster.run('member', 'transfer', 2, '--address', address)
        self.assertEqual(done.returncode, 0, done.stderr)
        cluster.wait_until(lambda: set(self.dev.leaders().values()) == {2}, 'node 2 leads everything')
        done = cluster.run('member', 'transfer', 2, '--group', 99, '--address', address)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn('there is no group 99', done.stderr)
        done = cluster.run('member', 'list', '--address', address)
        self.assertIn('voter', done.stdout)

    def test_a_node_moves(self):
        self.assertEqual(self.join().returncode, 0)
        node = self.serve()
        self.wait_votes(4, 3)
        node.stop()
        moved = cluster.free_ports(2)
        refused = cluster.run('member', 'move', 4, '--listen-peer', f'127.0.0.1:{moved}', '--address',
                              self.dev.address(1))
        self.assertEqual(refused.returncode, 1)
        self.assertIn('nothing was changed', refused.stderr)
        self.serve('--listen-peer', f'127.0.0.1:{moved}', '--listen-client', f'127.0.0.1:{moved + 1}')
        cluster.wait_until(lambda: not cluster.port_is_free(moved), 'the node listens at its new port')
        done = cluster.run('member', 'move', 4, '--listen-peer', f'127.0.0.1:{moved}', '--listen-client',
                           f'127.0.0.1:{moved + 1}', '--address', self.dev.address(1))
        self.assertEqual(done.returncode, 0, done.stderr)

        def known_everywhere():
            rows = [row(self.dev.address(number), 4) for number in (1, 2, 3)]
            return all(member and member['peer'] == f'127.0.0.1:{moved}' and member['up'] for member in rows)
        cluster.wait_until(known_everywhere, 'everybody knows the new address')

    def test_what_cannot_be_is_refused_with_a_reason(self):
        address = self.dev.address(1)
        for words, text in ((('remove', 9), 'no member'), (('promote', 9), 'no member')):
            done = cluster.run('member', *words, '--address', address)
            self.assertEqual((done.returncode, done.stdout), (1, ''))
            self.assertIn(text, done.stderr)
        self.assertEqual(cluster.run('member', 'remove', 'x', '--address', address).returncode, 2)
        self.assertEqual(cluster.run('join').returncode, 2)
        self.assertEqual(cluster.run('join', '--cluster', f'127.0.0.1:{self.port}', '--data', self.data,
                                     '--listen-peer', '127.0.0.1:1', '--listen-client', '127.0.0.1:2').returncode, 3)
        self.assertFalse(pathlib.Path(self.data).exists())
        with self.dev.client() as client:
            reply = client('RAFT.JOIN', f'127.0.0.1:{self.port}', '-', '-', 77, 2)
            self.assertIn('nothing was changed', str(reply))
            self.assertIn('ERR', str(client('RAFT.REMOVE', 1, 'SOON')))
            self.assertEqual(len(client('RAFT.MEMBERS')), 3)


if __name__ == '__main__':
    unittest.main()
