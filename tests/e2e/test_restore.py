"""Restoring a backup while the cluster has other things to do: a node that is not ready, leaders that move, connections
that are cut. What was acknowledged or not, in the end every key is there once and right."""
import os
import signal
import subprocess
import time

import cluster
from cluster import Dev, Status, run
from proxy import Proxy

KEYS = 3000
VALUE_SIZE = 1500
STEP = 60 * VALUE_SIZE        # that the proxy lets through at a time while a test waits for a number of keys
DISTURBED = 200 * VALUE_SIZE  # and while something happens to the restore
TIMEOUT_SECONDS = 2  # of a command that finds no leader


def expected():
    return {b'key:%d' % i: (b'%d ' % i * VALUE_SIZE)[:VALUE_SIZE] for i in range(KEYS)}


class RestoreTest(cluster.TestCase):
    def setUp(self):
        self.held = expected()
        self.path = self.folder() / 'backup'
        source = self.open(Dev, nodes=1, groups=2, env=cluster.STEADY)
        source.wait_writable()
        with source.client(1) as client:
            client('FLUSHALL')
            items = list(self.held.items())
            for at in range(0, KEYS, 200):
                replies = client.pipeline([('SET', *item) for item in items[at:at + 200]])
                self.assertEqual(set(replies), {Status('OK')})
        done = run('snapshot', 'save', self.path, '--address', source.address(1))
        self.assertEqual(done.returncode, 0, done.stderr)
        source.stop()
        self.stopped = []
        self.proxy = None

    def tearDown(self):
        self.resume()

    def pause(self, dev, *numbers):
        for number in numbers:
            self.stopped.append(dev.node_pid(number))
            os.kill(self.stopped[-1], signal.SIGSTOP)

    def resume(self):
        while self.stopped:
            os.kill(self.stopped.pop(), signal.SIGCONT)

    def target(self, **environment):
        dev = self.open(Dev, nodes=3, groups=4, env={'HOLDFAST_RAFT_REQUEST_TIMEOUT': f'{TIMEOUT_SECONDS}s', **environment})
        dev.wait_writable()
        self.assertEqual(cluster.read(dev.address(1), 'FLUSHALL'), Status('OK'))
        return dev

    def begin(self, address):
        self.process = cluster.start('snapshot', 'restore', self.path, '--address', address, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.discard)

    def discard(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def is_under_way(self):
        return self.process.poll() is None

    def size(self, dev, number=1):
        with dev.client(number) as client:
            reply = client('DBSIZE')
            return reply if isinstance(reply, int) else -1

    def wait_for_some(self, dev, count, number=1):
        """Lets the restore go on through the proxy to that many keys, and then a little further, so that it can neither
        be over nor stand still while it is disturbed."""
        def is_there():
            if self.size(dev, number) >= count:
                return True
            if self.proxy.is_shut():
                self.proxy.let_up(STEP)
            return not self.is_under_way()
        cluster.wait_until(is_there, f'{count} keys are restored')
        self.assertTrue(self.is_under_way(), 'it was over too soon to be disturbed')
        self.proxy.let_up(DISTURBED)

    def check_whole(self, dev, number=1):
        if self.proxy is not None:
            self.proxy.let_up(None)
        output, errors = self.process.communicate(timeout=2 * cluster.PATIENCE_SECONDS)
        self.assertEqual(self.process.returncode, 0, errors)
        self.assertIn(f'restored {KEYS} keys', output)
        self.assertEqual(cluster.read(dev.address(number), 'DBSIZE'), KEYS)
        self.check_keys(dev, number, list(self.held))

    def check_keys(self, dev, number, keys):
        for at in range(0, len(keys), 200):
            part = keys[at:at + 200]
            self.assertEqual(cluster.read(dev.address(number), 'MGET', *part), [self.held[key] for key in part])

    def slow(self, dev, number):
        """The address of a proxy that lets a restore through as far as a test wants it."""
        port = cluster.free_ports()
        self.proxy = self.open(Proxy, port, int(dev.address(number).rpartition(':')[2]))
        self.proxy.let_up(0)
        return f'127.0.0.1:{port}'

    def test_a_restore_waits_for_a_node_whose_groups_have_no_leader_yet(self):
        dev = self.target()
        self.pause(dev, 2, 3)

        def has_no_leader():
            with dev.client(1) as client:
                return 'CLUSTERDOWN' in str(client('DBSIZE'))
        cluster.wait_until(has_no_leader, 'the node that is left says that nobody leads')
        self.begin(dev.address(1))
        time.sleep(3 * TIMEOUT_SECONDS)
        self.assertTrue(self.is_under_way())
        self.resume()
        self.check_whole(dev)

    def test_a_restore_goes_on_when_leaders_move_and_die_in_the_middle(self):
        dev = self.target()
        self.begin(self.slow(dev, 1))
        for count in (KEYS // 8, KEYS // 3):
            self.wait_for_some(dev, count)
            number = cluster.wait_until(lambda: next((leader for group, leader in dev.leaders().items()
                                                      if group != 1 and leader != 1), None),
                                        'another node leads some group')
            pid = dev.kill_node(number)
            dev.wait_restarted(number, pid)
        self.check_whole(dev)

    def test_a_restore_goes_on_over_other_connections_when_its_own_is_cut(self):
        dev = self.target()
        self.begin(self.slow(dev, 2))
        for cut in range(1, 6):
            self.wait_for_some(dev, cut * KEYS // 8, 2)
            self.proxy.cut()
        self.check_whole(dev, 2)
        self.assertGreaterEqual(self.proxy.connections, 6)

    def test_a_restore_waits_for_the_node_that_it_goes_through_to_come_back(self):
        dev = self.target()
        self.begin(self.slow(dev, 3))
        self.wait_for_some(dev, KEYS // 4)
        pid = dev.kill_node(3)
        dev.wait_restarted(3, pid)
        self.check_whole(dev)

    def test_ctrl_c_ends_a_restore_and_says_how_it_is_repeated(self):
        dev = self.target()
        self.begin(self.slow(dev, 1))
        self.wait_for_some(dev, KEYS // 4)
        self.process.send_signal(signal.SIGINT)
        self.proxy.let_up(None)
        output, errors = self.process.communicate(timeout=cluster.PATIENCE_SECONDS)
        self.assertEqual((self.process.returncode, output), (130, ''), errors)
        self.assertIn('interrupted', errors)
        self.assertIn('--force', errors)
        self.assertLess(self.size(dev), KEYS)
        done = run('snapshot', 'restore', self.path, '--force', '--address', dev.address(1))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_keys(dev, 1, list(self.held))

    def test_a_restore_that_makes_no_progress_says_what_to_do(self):
        dev = self.target()
        self.begin(self.slow(dev, 1))
        self.wait_for_some(dev, KEYS // 4)
        self.pause(dev, 2, 3)
        self.proxy.let_up(None)
        _, errors = self.process.communicate(timeout=2 * cluster.PATIENCE_SECONDS)
        self.assertNotEqual(self.process.returncode, 0)
        self.assertIn('no progress for 30 s', errors)
        self.assertIn('restore --force', errors)
        self.resume()
        dev.wait_writable()
        again = run('snapshot', 'restore', self.path, '--address', dev.address(1), '--force')
        self.assertEqual(again.returncode, 0, again.stderr)
        self.check_keys(dev, 1, list(self.held)[:400])


if __name__ == '__main__':
    cluster.main()
