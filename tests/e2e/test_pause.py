"""A leader that is stopped and continued (SIGSTOP, SIGCONT) must not answer reads from its past."""
import os
import signal
import time

import cluster
from cluster import Closed, Dev, ReplyError, Status

ROUNDS = 4
KEY = 'paused'


class PausedLeader(cluster.TestCase):
    def setUp(self):
        self.dev = self.open(Dev, groups=1)
        self.dev.wait_writable()
        self.stopped = None

    def tearDown(self):
        self.resume()

    def pause(self, number):
        self.stopped = self.dev.node_pid(number)
        os.kill(self.stopped, signal.SIGSTOP)

    def resume(self):
        if self.stopped is not None:
            os.kill(self.stopped, signal.SIGCONT)
            self.stopped = None

    def leader(self):
        return cluster.wait_until(lambda: self.dev.leaders().get(2), 'group 2 has a leader')

    def write_elsewhere(self, paused, value):
        """Sets the key through another node, until one acknowledges it."""
        deadline = time.monotonic() + cluster.PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for number in (1, 2, 3):
                if number == paused:
                    continue
                try:
                    with self.dev.client(number) as client:
                        if client('SET', KEY, value) == Status('OK'):
                            return
                except (OSError, Closed):
                    pass
            time.sleep(0.1)
        self.fail('the two other nodes take no write')

    def test_P3_a_continued_leader_gives_no_stale_read(self):
        stale, answered, refused = [], 0, 0
        for number in range(ROUNDS):
            leader = self.leader()
            old, new = f'old {number}', f'new {number}'
            cluster.write(self.dev.address(leader), KEY, old)
            self.assertEqual(cluster.read(self.dev.address(leader), 'GET', KEY), old.encode())
            # These connections exist before the pause; their requests arrive while the leader sleeps.
            readers = [self.dev.client(leader) for _ in range(5)]
            for reader in readers:
                self.assertEqual(reader('PING'), Status('PONG'))
            self.pause(leader)
            self.write_elsewhere(leader, new)
            for reader in readers:
                reader.send_raw(cluster.encode('GET', KEY) * 20)
            self.resume()
            for reader in readers:
                for _ in range(20):
                    reply = reader.read()
                    if isinstance(reply, ReplyError):
                        refused += 1
                        self.assertTrue(str(reply).startswith('CLUSTERDOWN '), reply)
                    else:
                        answered += 1
                        if reply != new.encode():
                            stale.append((number, reply))
                reader.close()
            self.assertNotEqual(self.leader(), None)
            self.dev.wait_writable()
        cluster.figure(f'{answered} reads of continued leaders were fresh, {refused} refused')
        self.assertEqual(stale, [])
        self.assertGreater(answered, 0, 'every read was refused, so nothing was shown')

    def test_a_paused_leader_is_replaced_and_its_writes_are_not_answered_twice(self):
        leader = self.leader()
        cluster.write(self.dev.address(leader), 'n', 0)
        client = self.dev.client(leader)
        self.addCleanup(client.close)
        self.assertEqual(client('PING'), Status('PONG'))
        self.pause(leader)
        client.send_raw(cluster.encode('INCR', 'n') * 50)
        self.write_elsewhere(leader, 'meanwhile')
        self.resume()
        replies = [client.read() for _ in range(50)]
        good = [reply for reply in replies if isinstance(reply, int)]
        unknown = [reply for reply in replies if isinstance(reply, ReplyError) and str(reply).startswith('INDETERM')]
        refused = [reply for reply in replies if isinstance(reply, ReplyError) and str(reply).startswith('CLUSTERDOWN')]
        self.assertEqual(len(good) + len(unknown) + len(refused), 50, replies)
        self.assertEqual(good, sorted(set(good)))
        value = int(cluster.read(self.dev.address(leader % 3 + 1), 'GET', 'n'))
        self.assertGreaterEqual(value, len(good))
        self.assertLessEqual(value, len(good) + len(unknown))


if __name__ == '__main__':
    cluster.main()
