"""A relaxed sync policy on real processes: a clean stop and a kill lose nothing; after a reboot the node asks first."""
import json
import time

import cluster
from cluster import Process, run, wait_until

UNTOLD = '00000000-0000-0000-0000-000000000000\n'  # the boot id of a kernel that is no more


class Relaxed(cluster.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.folder()
        port = cluster.free_ports(9)
        self.clients = [f'127.0.0.1:{port + i}' for i in range(3)]
        description = folder / 'c.holdfast'
        nodes = [word for i in range(3) for word in
                 ('--node', f'{i + 1}=127.0.0.1:{port + 3 + i},{self.clients[i]},127.0.0.1:{port + 6 + i}')]
        done = run('init', '--cluster', description, '--groups', '2', *nodes)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.data = [folder / str(i + 1) for i in range(3)]
        for i, data in enumerate(self.data):
            done = run('init', '--cluster', description, '--id', str(i + 1), '--data', data)
            self.assertEqual(done.returncode, 0, done.stderr)
        self.nodes = [None, None, None]

    def serve(self, number, *arguments, policy='interval'):
        self.nodes[number] = self.open(Process, 'serve', '--data', self.data[number], '--set',
                                       f'log.sync_policy={policy}', *arguments)

    def write(self, number, key, value):
        cluster.write(self.clients[number], key, value)

    def groups(self, number):
        done = run('status', '--json', '--address', self.clients[number])
        for line in done.stdout.splitlines():
            for node in json.loads(line).get('nodes', [json.loads(line)]):
                if node.get('node') == number + 1:
                    return node['groups']
        return []

    def waits(self, number):
        return any('no vote' in group['text'] for group in self.groups(number))

    def test_P1_kills_and_clean_stops_lose_nothing_and_a_reboot_is_asked_for(self):
        for i in range(3):
            self.serve(i)
        self.write(0, 'a', '1')
        marks = [data / 'relaxed' for data in self.data]
        # Two of them are enough for the write.
        wait_until(lambda: all(mark.exists() for mark in marks), 'every node is marked')
        # A clean stop leaves no mark.
        self.assertEqual(self.nodes[2].stop(), 0)
        self.assertFalse(marks[2].exists())
        self.serve(2)
        # All are killed at once: this kernel still has what they were told is written.
        for node in self.nodes:
            node.send_signal(9)
            node.wait()
        for i in range(3):
            self.serve(i)
        self.write(1, 'b', '2')
        self.assertFalse(any(self.waits(i) for i in range(3)))
        # One of them as if after a reboot: it comes back by the leader's word, and its mark is renewed.
        self.nodes[1].send_signal(9)
        self.nodes[1].wait()
        text = marks[1].read_text()
        marks[1].write_text(UNTOLD + text.split('\n', 1)[1])
        self.serve(1)
        wait_until(lambda: marks[1].exists() and marks[1].read_text() == text, 'the mark is renewed')
        self.assertIn('did not stop cleanly', self.nodes[1].log())
        wait_until(lambda: 'this member votes' in self.nodes[1].log(), 'the node says that it votes')
        # All of them: nobody leads, and the operator decides.
        for i, node in enumerate(self.nodes):
            node.send_signal(9)
            node.wait()
            marks[i].write_text(UNTOLD)
        for i in range(3):
            self.serve(i)
        wait_until(lambda: all(self.waits(i) for i in range(3)), 'every node says that it has no vote')
        time.sleep(3)
        self.assertTrue(all(group['leader'] == 0 for i in range(3) for group in self.groups(i)))
        for i, node in enumerate(self.nodes):
            node.stop()
            self.assertTrue(marks[i].exists())
            self.serve(i, '--accept-lost-writes', policy='batch')
        self.write(2, 'c', '3')
        self.assertEqual([cluster.read(self.clients[2], 'GET', key) for key in 'abc'], [b'1', b'2', b'3'])
        wait_until(lambda: not any(mark.exists() for mark in marks), 'the marks are gone')


if __name__ == '__main__':
    cluster.main()
