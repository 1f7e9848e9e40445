"""Snapshots of the real program: taken by request and by themselves, loaded by a start, and installed by a node that was
away, while either side is killed in the middle."""
import os
import signal
import time
import urllib.request

import cluster
from cluster import Closed, Dev, Status, wait_until

VALUE_SIZE = 64 * 1024
STATE_VALUES = 1000          # 64 MiB: long enough on its way to be interrupted
SNAPSHOT_ENTRIES = 100
START_SECONDS_MAX = 60       # of a node with a short log, on a machine that does other things too
ENVIRONMENT = {
    'HOLDFAST_SNAPSHOT_ENTRIES': str(SNAPSHOT_ENTRIES),
    'HOLDFAST_SNAPSHOT_TRAIL': '10',
    'HOLDFAST_RAFT_REQUEST_TIMEOUT': '30s',
}


def transfers(status, direction):
    return [item for item in (status or {}).get('snapshots', {}).get('transfers', []) if item['direction'] == direction]


class SnapshotTest(cluster.TestCase):
    def group(self, dev, number):
        """The one routed group as a node that is up sees it."""
        return next(group for group in dev.told_status(number)['groups'] if group['ordinal'] == 0)

    def digests(self, dev):
        """{(applied, digest)} of all nodes; a node that does not answer is None."""
        found = set()
        for number in range(1, len(dev.nodes) + 1):
            try:
                with dev.client(number) as client:
                    rows = client('RAFT.GROUPS')
            except (OSError, Closed):
                return {None}
            row = [dict(zip(row[::2], row[1::2])) for row in rows if b'ordinal' in row]
            row = next(r for r in row if r[b'ordinal'] == 0)
            found.add((row[b'applied'], row[b'digest']))
        return found

    def wait_equal(self, dev):
        def equal():
            found = self.digests(dev)
            return len(found) == 1 and None not in found
        wait_until(equal, 'all nodes have the same state', pause=0.2)

    def write(self, dev, number, first, count):
        """One entry each."""
        with dev.client(number) as client:
            for i in range(first, first + count):
                value = os.urandom(VALUE_SIZE) if i < STATE_VALUES else b'%d' % i
                reply = client('SET', f'key:{i}', value)
                self.assertEqual(reply, Status('OK'), f'SET key:{i}')

    @staticmethod
    def gave_up(dev, node, number):
        return not next(peer['up'] for peer in dev.told_status(node)['peers'] if peer['node'] == number)

    def fall_behind(self, dev, number, first):
        """Stops a follower until the others have dropped what it lacks, and lets it go on. Returns a running node."""
        other = next(n for n in range(1, 4) if n != number)
        pid = dev.node_pid(number)
        last = self.group(dev, number)['last']
        os.kill(pid, signal.SIGSTOP)
        try:
            # What is written while the connection stands would wait for it in the kernel.
            for n in range(1, 4):
                if n != number:
                    wait_until(lambda n=n: self.gave_up(dev, n, number), f'node {n} gives node {number} up')
            deadline = time.monotonic() + cluster.PATIENCE_SECONDS
            while not all(self.group(dev, n)['first'] > last + 1 for n in range(1, 4) if n != number):
                self.assertLess(time.monotonic(), deadline, 'the log is not compacted beyond what the stopped node has')
                self.write(dev, other, first, SNAPSHOT_ENTRIES)
                first += SNAPSHOT_ENTRIES
                time.sleep(0.3)  # a snapshot of this state takes a while
        finally:
            os.kill(pid, signal.SIGCONT)
        return first

    @staticmethod
    def snapshots_of(dev, number):
        counts = dev.told_status(number)['snapshots']
        return counts['installed'] + counts['taken']

    def find_in_the_middle(self, dev, receiver, installed):
        """A transfer to the node that is neither at its beginning nor near its end, as both sides see it; None: it is
        over already, and the node has installed more than it had."""
        def look():
            status = dev.told_status(receiver)
            for item in transfers(status, 'in'):
                if 0.05 < item['bytes_done'] / item['bytes_total'] < 0.9 and item['phase'] == 'receiving':
                    out = transfers(dev.status(item['node']), 'out')
                    sent = [one for one in out if (one['node'], one['index']) == (receiver, item['index'])]
                    if sent:
                        return [(item, sent[0])]
            return [None] if status['snapshots']['installed'] > installed else []
        return wait_until(look, 'the node fetches a snapshot', pause=0)[0]

    def test_each_side_is_killed_in_the_middle_of_an_install(self):
        dev = self.open(Dev, nodes=3, groups=1, env=ENVIRONMENT)
        dev.wait_writable()
        self.write(dev, 1, 0, STATE_VALUES)
        following = STATE_VALUES
        for victim in ('receiver', 'sender'):
            leader = wait_until(lambda: dev.leaders().get(2), 'a leader')
            receiver = next(n for n in range(1, 4) if n != leader)
            pids = {number: dev.node_pid(number) for number in (1, 2, 3)}
            seen = None
            while seen is None:  # it may be over between two looks
                installed = dev.told_status(receiver)['snapshots']['installed']
                following = self.fall_behind(dev, receiver, following)
                seen = self.find_in_the_middle(dev, receiver, installed)
            item, sent = seen
            for side in (item, sent):
                self.assertGreater(side['bytes_per_s'], 0)
                self.assertGreater(side['left_ms'], 0)
            self.assertEqual(sent['bytes_total'], item['bytes_total'])
            number = receiver if victim == 'receiver' else item['node']
            os.kill(pids[number], signal.SIGKILL)
            dev.wait_restarted(number, pids[number])
            self.wait_equal(dev)
            # What came whole before the kill is counted by no living process: the next one is taken anew.
            self.write(dev, leader, following, SNAPSHOT_ENTRIES + 1)
            following += SNAPSHOT_ENTRIES + 1
            wait_until(lambda: self.snapshots_of(dev, receiver) >= 1, 'the node has installed or taken a snapshot')
        with dev.client(1) as client:
            self.assertEqual(client('STRLEN', 'key:7'), VALUE_SIZE)

    def test_logs_stay_short_and_a_start_is_quick(self):
        environment = {**ENVIRONMENT, 'HOLDFAST_SNAPSHOT_ENTRIES': '0', 'HOLDFAST_SNAPSHOT_LOG_SIZE': '16MiB'}
        dev = self.open(Dev, nodes=3, groups=1, env=environment)
        dev.wait_writable()
        value = os.urandom(VALUE_SIZE)
        with dev.client(1) as client:
            for i in range(200):  # 200 MiB, of 512 keys
                replies = client.pipeline([('SET', f'key:{(i * 16 + k) % 512}', value) for k in range(16)])
                self.assertTrue(all(reply == Status('OK') for reply in replies), replies)
        for number in range(1, 4):
            wait_until(lambda: self.group(dev, number)['log_bytes'] < 80 << 20,
                       f'the log of node {number} is short', pause=0.2)
            self.assertGreater(self.group(dev, number)['first'], 1)
        with dev.client(1) as client:
            self.assertEqual(client('SAVE'), Status('OK'))
            self.assertLess(abs(client('LASTSAVE') - time.time()), 60)
        done = cluster.run('snapshot', 'take', '--address', dev.address(2))
        self.assertEqual(done.returncode, 0, done.stderr)
        pid = dev.kill_node(1)
        started = time.monotonic()
        dev.wait_restarted(1, pid)
        self.assertLess(time.monotonic() - started, START_SECONDS_MAX)
        self.assertGreater(self.group(dev, 1)['snapshot'], 0)
        self.wait_equal(dev)

    def applied_since_start(self, dev):
        with urllib.request.urlopen(f'http://{dev.nodes[0]["http"]}/metrics', timeout=cluster.PATIENCE_SECONDS) as page:
            for line in page.read().decode().splitlines():
                if line.startswith('holdfast_applied_entries_total '):
                    return int(line.split()[1])

    def test_a_clean_stop_takes_a_snapshot_and_the_next_start_replays_nothing(self):
        folder = self.folder() / 'data'
        for at_stop, replayed in (('600s', range(0, 200)), ('0s', range(300, 600))):  # and what makes it writable
            environment = {'HOLDFAST_SNAPSHOT_AT_STOP': at_stop}  # so few entries ask for none
            dev = self.open(Dev, '--data', folder, nodes=1, groups=1, env=environment)
            dev.wait_writable()
            self.write(dev, 1, STATE_VALUES, 300)
            self.assertEqual(dev.stop(), 0)
            dev = self.open(Dev, '--data', folder, nodes=1, groups=1, env=environment)
            dev.wait_writable()
            self.assertIn(self.applied_since_start(dev), replayed, at_stop)
            self.assertEqual(dev.stop(), 0)

    def test_H8_a_group_whose_snapshots_are_all_damaged_fetches_its_leaders(self):
        folder = self.folder() / 'data'
        dev = self.open(Dev, '--data', folder, groups=1, env=ENVIRONMENT)
        dev.wait_writable()
        first = STATE_VALUES

        def snapshots():
            return sorted((folder / 'node2' / 'snapshots').glob('0000000000000002-*.snap'))
        while first < STATE_VALUES + 5 * SNAPSHOT_ENTRIES or len(snapshots()) < 2:
            self.write(dev, 1, first, SNAPSHOT_ENTRIES)
            first += SNAPSHOT_ENTRIES
            self.assertLess(first, STATE_VALUES + 1000 * SNAPSHOT_ENTRIES, 'node 2 takes no snapshots')
        self.wait_equal(dev)
        self.assertEqual(dev.stop(), 0)
        damaged = snapshots()
        self.assertGreaterEqual(len(damaged), 2)
        for path in damaged:
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 4
            path.write_bytes(content)
        dev = self.open(Dev, '--data', folder, groups=1, env=ENVIRONMENT)
        self.wait_equal(dev)
        self.assertEqual(self.group(dev, 2)['text'], '')
        self.assertIn('group 2 is not started: ECORRUPT: no good snapshot reaches the log', dev.log())
        self.assertIn('its log restarts behind the leader\'s snapshot', dev.log())
        self.write(dev, 2, STATE_VALUES, 10)
        self.wait_equal(dev)


if __name__ == '__main__':
    cluster.main()
