"""A majority lost for good: two of three nodes are killed and their disks wiped; a new cluster is made out of the third,
goes on, and has nothing to do with the old one. And what is refused."""
import hashlib
import json
import os
import shutil
import signal
import time

import cluster
from cluster import Client, Process, Status, run

GROUPS = 3
KEYS = 1500


def tree(path):
    """Names and contents below a folder, in one digest."""
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(path):
        folders.sort()
        for name in sorted(files):
            full = os.path.join(folder, name)
            digest.update(full.encode() + b'\0')
            with open(full, 'rb') as file:
                digest.update(file.read())
    return digest.hexdigest()


class RecoverTest(cluster.TestCase):
    def setUp(self):
        self.at = self.folder()
        self.port = cluster.free_ports(12)

    def peer(self, node):
        return f'127.0.0.1:{self.port + node}'

    def address(self, node):
        return f'127.0.0.1:{self.port + 4 + node}'

    def init(self, name='old', nodes=3):
        file = self.at / f'{name}.holdfast'
        described = [f'--node={n}={self.peer(n)},{self.address(n)},127.0.0.1:{self.port + 8 + n}'
                     for n in range(1, nodes + 1)]
        done = run('init', '--cluster', file, '--groups', GROUPS, *described)
        self.assertEqual(done.returncode, 0, done.stderr)
        for node in range(1, nodes + 1):
            done = run('init', '--cluster', file, '--id', node, '--data', self.at / f'{name}{node}')
            self.assertEqual(done.returncode, 0, done.stderr)

    def serve(self, data, *options):
        return self.open(Process, 'serve', '--data', data, '--set', 'log.segment_size=1MiB',
                         '--set', 'snapshot.trail=1', *options, env={'HOLDFAST_RAFT_REQUEST_TIMEOUT': '10s'})

    def wait_writable(self, address):
        def writable():
            try:
                with Client(address) as client:
                    return all(reply == Status('OK')
                               for reply in client.pipeline([('SET', f'writable:{i}', i) for i in range(32)]))
            except (OSError, cluster.Closed):
                return False
        cluster.wait_until(writable, f'{address} takes writes')

    def ruin(self, snapshots=True):
        """A cluster of three with data that every node applied, of which the third disk is left. {key: (value, deadline)}"""
        self.init()
        nodes = [self.serve(self.at / f'old{node}') for node in (1, 2, 3)]
        self.wait_writable(self.address(1))
        later = int(time.time() * 1000) + 3600_000
        held = {}
        with Client(self.address(2)) as client:
            for turn in range(3):
                if turn == 2:
                    snapshots = False  # the last of it is in the log only
                for i in range(KEYS):
                    held[b'key:%d' % i] = (b'value %d, round %d' % (i, turn), later + i if i % 3 == turn else 0)
                items = list(held.items())
                replies = client.pipeline([('SET', key, value) + (('PXAT', deadline) if deadline else ())
                                           for key, (value, deadline) in items])
                self.assertTrue(all(reply == Status('OK') for reply in replies))
                if snapshots:
                    # Twice: from the second on the log begins behind the first.
                    cluster.read(self.address(3), 'RAFT.BARRIER')
                    cluster.read(self.address(3), 'RAFT.SNAPSHOT')
        # Acknowledged by a majority is not yet on the third: it is behind a barrier.
        cluster.read(self.address(3), 'RAFT.BARRIER')
        for node in (1, 2):
            nodes[node - 1].stop(signal.SIGKILL)
            shutil.rmtree(self.at / f'old{node}')
        return nodes[2], held

    def recover(self, *arguments, code=0):
        done = run('recover', *arguments)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def where(self, *, peer=1, client=4):
        return ('--listen-peer', self.peer(peer), '--listen-client', self.address(client))

    def contents(self, address, keys):
        found = {}
        with Client(address) as client:
            replies = client.pipeline([command for key in keys for command in (('GET', key), ('PEXPIRETIME', key))])
        for key, value, deadline in zip(keys, replies[::2], replies[1::2]):
            found[key] = (value, max(deadline, 0))
        return found

    def test_a_new_cluster_has_every_key_that_reached_the_survivor(self):
        survivor, held = self.ruin()
        old, new = self.at / 'old3', self.at / 'new'
        refused = self.recover(old, code=1)
        self.assertIn('in use', refused.stderr)
        survivor.stop(signal.SIGKILL)
        before = tree(old)
        # The plan changes nothing.
        plan = self.recover(old)
        self.assertIn('the only copy', plan.stdout)
        self.assertIn('1 (lost) 2 (lost) 3', plan.stdout)
        self.assertIn('nothing was changed', plan.stderr)
        said = json.loads(self.recover(old, '--json').stdout)
        self.assertEqual([group['from'] for group in said['groups']], [3] * GROUPS)
        self.assertEqual([(group['voters'], group['voters_here'], group['is_complete']) for group in said['groups']],
                         [(3, 1, False)] * GROUPS)
        self.assertTrue(all(1 < copy['first'] <= copy['snapshot'] < copy['last']
                            for group in said['groups'] for copy in group['copies']))
        self.assertIsNone(said['made'])
        self.assertEqual(tree(old), before)
        # A node that kept its snapshots elsewhere.
        (old / 'snapshots').rename(self.at / 'elsewhere')
        self.assertIn('no good snapshot reaches', self.recover(old, code=4).stdout)
        self.recover(old, '--snapshots', f'3={self.at / "elsewhere"}')
        (self.at / 'elsewhere').rename(old / 'snapshots')
        self.assertEqual(tree(old), before)
        # Carried out, with the peer address of a node that is lost.
        made = json.loads(self.recover(old, '--apply', '--out', new, *self.where(), '--json').stdout)['made']
        self.assertNotEqual(made['cluster'], said['cluster'])
        self.assertGreaterEqual(sum(group['entries'] for group in made['groups']), KEYS)
        self.assertEqual(tree(old), before)
        self.assertIn('formatted already', self.recover(old, '--apply', '--out', new, *self.where(), code=1).stderr)
        node = self.serve(new)
        self.wait_writable(self.address(4))
        self.assertEqual(self.contents(self.address(4), list(held)), held)
        # What is left of the old cluster calls that address, and each refuses the other.
        left = self.serve(old)
        cluster.wait_until(lambda: 'cluster' in left.log() and 'refused' in left.log(), 'the old node is refused')
        with Client(self.address(3)) as client:
            self.assertIn('CLUSTERDOWN', str(client('GET', 'key:1')))
        self.assertEqual(self.contents(self.address(4), list(held)), held)
        left.stop()
        # It grows as any cluster does.
        port = self.port + 10
        done = run('join', '--cluster', self.address(4), '--data', self.at / 'second', '--listen-peer',
                   f'127.0.0.1:{port}', '--listen-client', f'127.0.0.1:{port + 1}')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.serve(self.at / 'second')

        def votes():
            listed = run('member', 'list', '--address', self.address(4), '--json')
            return listed.returncode == 0 and all(
                member['votes_in'] == GROUPS + 1 for member in json.loads(listed.stdout)['members'])
        cluster.wait_until(votes, 'both nodes vote in every group', pause=0.2)
        self.assertEqual(self.contents(f'127.0.0.1:{port + 1}', list(held)), held)
        with Client(f'127.0.0.1:{port + 1}') as client:
            self.assertEqual(client('SET', 'key:0', 'new'), Status('OK'))
        node.stop(signal.SIGKILL)
        self.serve(new)
        self.wait_writable(self.address(4))
        self.assertEqual(cluster.read(self.address(4), 'GET', 'key:0'), b'new')

    def test_damage_is_named_and_a_group_is_skipped_only_when_it_is_asked_for(self):
        survivor, held = self.ruin(snapshots=False)
        survivor.stop(signal.SIGKILL)
        old, new = self.at / 'old3', self.at / 'new'
        dump = [json.loads(line) for line in run('log', 'dump', '--json', old).stdout.splitlines()]
        record = next(record for record in dump
                      if record.get('group', 0) > 1 and record['kind'] == 'append' and record['index'] > 3)
        group = record['group']
        path = old / 'log' / f'{record["segment"]:016x}.log'
        data = bytearray(path.read_bytes())
        data[record['offset'] + 60] ^= 1
        path.write_bytes(data)
        before = tree(old)
        done = self.recover(old, code=4)
        self.assertIn(f'group {group}: REFUSED', done.stdout)
        self.assertIn('cannot be read', done.stdout)
        self.assertIn(f'1 of {GROUPS} groups are refused', done.stderr)
        done = self.recover(old, '--apply', '--out', new, *self.where(), code=4)
        self.assertFalse(new.exists())
        done = self.recover(old, '--apply', '--out', new, *self.where(), '--skip-group', group)
        self.assertIn(f'group {group}: SKIPPED', done.stdout)
        self.assertEqual(tree(old), before)
        self.serve(new)
        self.wait_writable(self.address(4))
        kept = {key: value for key, value in self.contents(self.address(4), list(held)).items()
                if value != (None, 0)}
        self.assertTrue(0 < len(kept) < len(held))
        self.assertTrue(all(held[key] == value for key, value in kept.items()))

    def test_P2_a_damaged_snapshot_is_told_of_and_one_behind_the_end_of_the_log_is_known_to_be_lost(self):
        self.init(nodes=1)
        old, earlier = self.at / 'old1', self.at / 'earlier'

        def snapshots():
            return sorted((old / 'snapshots').glob('0000000000000002-*.snap'), reverse=True)
        for turn in range(3):
            node = self.serve(old, '--set', 'snapshot.at_stop=0s')
            self.wait_writable(self.address(1))
            cluster.read(self.address(1), 'RAFT.SNAPSHOT')
            self.wait_writable(self.address(1))
            node.stop()
            if turn == 1:
                shutil.copytree(old, earlier)
        newest = snapshots()[0]
        index = int(newest.name.split('-')[1], 16)
        data = bytearray(newest.read_bytes())
        data[len(data) // 2] ^= 1
        newest.write_bytes(data)
        # The log reaches back to the one before.
        said = json.loads(self.recover(old, '--json').stdout)
        copy = said['groups'][0]['copies'][0]
        self.assertEqual((copy['is_good'], copy['snapshots_damaged'], copy['snapshot'] < index <= copy['last']),
                         (True, 1, True))
        self.assertIn('1 newer DAMAGED', self.recover(old).stdout)
        # The log of before that: it ends in front of the snapshot.
        shutil.copy(newest, earlier / 'snapshots')
        refused = self.recover(earlier, code=1)
        self.assertIn('group 2: REFUSED', refused.stdout)
        self.assertIn(f'index {index} is committed', refused.stdout)
        self.recover(earlier, '--accept-loss', 2)

    def test_directories_that_do_not_belong_together_are_refused(self):
        self.init()
        shutil.copytree(self.at / 'old1', self.at / 'copy')
        (self.at / 'link').symlink_to(self.at / 'old1')
        os.mkdir(self.at / 'empty')
        (self.at / 'other').mkdir()
        self.init('alien', nodes=1)
        for arguments, code, text in (
                ((self.at / 'old1', self.at / 'alien1'), 1, 'different clusters'),
                ((self.at / 'old1', self.at / 'old1'), 2, 'both of node 1'),
                ((self.at / 'old1', self.at / 'link'), 2, 'both of node 1'),
                ((self.at / 'old1', self.at / 'copy'), 2, 'or a copy of it'),
                ((self.at / 'empty',), 3, 'is not a data directory'),
                ((self.at / 'old1', '--skip-group', '9'), 2, 'group 9'),
                ((self.at / 'old1', '--snapshots', '7=/tmp'), 2, 'node 7'),
                ((self.at / 'old1', '--apply'), 2, '--out'),
                ((self.at / 'old1', self.at / 'old2'), 4, 'are refused'),  # never started: they hold nothing
                ((), 2, 'DIR')):
            done = self.recover(*arguments, code=code)
            self.assertIn(text, done.stderr, arguments)
        self.assertEqual(sorted(os.listdir(self.at / 'empty')), [])

    def test_an_interrupted_attempt_is_no_data_directory(self):
        survivor, _ = self.ruin()
        survivor.stop(signal.SIGKILL)
        old, new = self.at / 'old3', self.at / 'new'
        self.recover(old, '--apply', '--out', new, *self.where())
        (new / 'node').unlink()
        (new / 'rebuilding').write_text('as a crash before the last step leaves it')
        done = run('serve', '--data', new)
        self.assertEqual(done.returncode, 3, done.stderr)
        done = self.recover(old, '--apply', '--out', new, *self.where(), code=1)
        self.assertIn('remove it', done.stderr)
        shutil.rmtree(new)
        self.recover(old, '--apply', '--out', new, *self.where())


if __name__ == '__main__':
    cluster.main()
