"""`holdfast dev`: what it prints, what it restarts, what it leaves behind."""
import contextlib
import json
import os
import pty
import select
import signal
import socket
import tempfile
import time

import cluster
from cluster import Dev, Process, Status

READY_SECONDS_GOAL = 3
READY_SECONDS_MAX = 60  # on a machine that does other things too


class TheLine(cluster.TestCase):
    def test_dev_prints_one_line_once_every_group_has_a_leader(self):
        dev = self.open(Dev)
        cluster.figure(f'dev: three nodes and four groups led after {dev.line_seconds:.2f} s '
                       f'(goal {READY_SECONDS_GOAL} s)')
        self.assertLess(dev.line_seconds, READY_SECONDS_MAX)
        self.assertEqual([node['id'] for node in dev.nodes], [1, 2, 3])
        for number, node in enumerate(dev.nodes, 1):
            self.assertEqual(set(node), {'id', 'pid', 'address', 'http', 'leads'})
            self.assertEqual(node['address'], f'127.0.0.1:{dev.port + number - 1}')
            self.assertEqual(node['http'], f'127.0.0.1:{dev.helper_port + 2 * number - 1}')
            self.assertEqual(node['pid'], dev.node_pid(number))
        self.assertEqual(sorted(group for node in dev.nodes for group in node['leads']), [2, 3, 4, 5])
        time.sleep(1)
        self.assertEqual(dev.stop(), 0)
        self.assertEqual(dev.rest_of_output(), b'')

    def test_leaders_spread_over_the_nodes(self):
        dev = self.open(Dev, groups=6)

        def spread():
            led = [node for group, node in dev.leaders().items() if group != 1]
            return len(led) == 6 and all(1 <= led.count(node) <= 3 for node in (1, 2, 3))
        cluster.wait_until(spread, 'each of three nodes leads one to three of six groups', pause=0.2)

    def test_one_node_alone_and_nine_groups(self):
        dev = self.open(Dev, nodes=1, groups=9)
        self.assertEqual(dev.nodes[0]['leads'], list(range(2, 11)))
        with dev.client() as client:
            self.assertEqual(client('SET', 'a', '1'), Status('OK'))
            self.assertEqual(client('GET', 'a'), b'1')
        self.assertEqual(dev.stop(signal.SIGINT), 0)

    def test_a_seed_is_taken(self):
        dev = self.open(Dev, '--seed', 7, nodes=1, groups=1)
        with dev.client() as client:
            self.assertEqual(client('SET', 'a', '1'), Status('OK'))
        self.assertEqual(dev.stop(), 0)


class Restarts(cluster.TestCase):
    def test_a_killed_node_comes_back_after_a_second_as_the_same_node(self):
        dev = self.open(Dev)
        cluster.write(dev.address(1), 'before', 'kill')
        before = dev.told_status(2)
        started = time.monotonic()
        pid = dev.kill_node(2)
        again = dev.wait_restarted(2, pid)
        seconds = time.monotonic() - started
        cluster.figure(f'dev: a killed node answers again after {seconds:.2f} s')
        self.assertGreater(seconds, 0.9)
        self.assertIn(again, cluster.children_of(dev.pid))
        after = dev.told_status(2)
        for key in ('node', 'address', 'http', 'peer', 'cluster'):
            self.assertEqual(after[key], before[key])
        dev.wait_writable()
        self.assertEqual(cluster.read(dev.address(2), 'GET', 'before'), b'kill')
        self.assertIn('node 2 died of signal 9', dev.log())
        self.assertEqual(dev.stop(), 0)
        self.assertEqual(dev.rest_of_output(), b'')

    def test_no_restart_leaves_a_killed_node_down_and_the_others_serve(self):
        dev = self.open(Dev, '--no-restart')
        dev.kill_node(3)
        cluster.wait_until(lambda: 'node 3 died of signal 9' in dev.log(), 'the death is reported')
        time.sleep(2.5)
        self.assertIsNone(dev.status(3))
        self.assertEqual(len(cluster.children_of(dev.pid)), 2)
        cluster.write(dev.address(1), 'a', '1')  # two of three nodes take writes
        self.assertEqual(dev.stop(), 0)


class TheEnd(cluster.TestCase):
    def assert_nothing_is_left(self, dev, children):
        for pid in children:
            self.assertFalse(cluster.process_exists(pid), f'process {pid} is left')
        self.assertEqual(os.listdir(dev.temporary), [])
        for i in range(3):
            self.assertTrue(cluster.port_is_free(dev.port + i))

    def test_sigterm_and_sigint_leave_nothing_behind(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number.name):
                dev = self.open(Dev)
                children = cluster.children_of(dev.pid)
                self.assertEqual(len(children), 3)
                self.assertEqual(len(os.listdir(dev.temporary)), 1)
                started = time.monotonic()
                self.assertEqual(dev.stop(number), 0)
                cluster.figure(f'dev: ended {time.monotonic() - started:.2f} s after {number.name}')
                self.assert_nothing_is_left(dev, children)

    def test_a_signal_before_the_line_leaves_nothing_behind_and_prints_nothing(self):
        dev = self.open(Dev, wait=False)
        children = cluster.wait_until(lambda: cluster.children_of(dev.pid), 'children start')
        self.assertEqual(dev.stop(), 0)
        self.assertEqual(dev.rest_of_output(), b'')
        self.assert_nothing_is_left(dev, children)

    def test_a_stopped_node_does_not_keep_dev_from_ending(self):
        dev = self.open(Dev)
        children = cluster.children_of(dev.pid)
        os.kill(dev.node_pid(1), signal.SIGSTOP)
        self.assertEqual(dev.stop(), 0)
        self.assert_nothing_is_left(dev, children)

    def test_children_die_with_a_killed_dev(self):
        dev = self.open(Dev)
        children = cluster.children_of(dev.pid)
        dev.send_signal(signal.SIGKILL)
        self.assertEqual(dev.wait(), -signal.SIGKILL)
        for pid in children:
            cluster.wait_until(lambda pid=pid: not cluster.process_exists(pid), f'process {pid} dies too')

    def test_named_data_stays_and_is_found_again(self):
        folder = self.folder() / 'data'
        dev = self.open(Dev, '--data', folder)
        cluster.write(dev.address(2), 'kept', 'here')
        self.assertEqual(dev.stop(), 0)
        self.assertTrue((folder / 'node1').is_dir())
        self.assertEqual(os.listdir(dev.temporary), [])
        again = self.open(Dev, '--data', folder)
        self.assertEqual(cluster.read(again.address(3), 'GET', 'kept'), b'here')
        self.assertEqual(again.stop(), 0)

    def test_named_data_may_come_back_with_another_port(self):
        folder = self.folder() / 'data'
        dev = self.open(Dev, '--data', folder)
        cluster.write(dev.address(2), 'kept', 'here')
        self.assertEqual(dev.stop(), 0)
        # Somebody else is at the old ports now: nobody may look there.
        stranger = self.open(Dev, nodes=3, groups=1, port=dev.port)
        again = self.open(Dev, '--data', folder)
        self.assertNotEqual(again.port, dev.port)
        self.assertEqual(cluster.read(again.address(3), 'GET', 'kept'), b'here')
        for number in (1, 2, 3):
            status = again.told_status(number)
            self.assertEqual({peer['node']: peer['address'] for peer in status['peers']},
                             {k: again.address(k) for k in (1, 2, 3) if k != number})
        shown = cluster.run('status', '--json', '--address', again.address(1))
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertEqual({node['pid'] for node in json.loads(shown.stdout)['nodes']},
                         set(cluster.children_of(again.pid)))
        self.assertEqual(again.stop(), 0)
        self.assertEqual(stranger.stop(), 0)

    def test_a_recorded_port_in_use_is_refused_with_its_directory(self):
        folder = self.folder() / 'data'
        dev = self.open(Dev, '--data', folder, nodes=1, groups=1)
        http = dev.nodes[0]['http']
        self.assertEqual(dev.stop(), 0)
        with contextlib.closing(socket.socket()) as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(('127.0.0.1', int(http.rpartition(':')[2])))
            taken.listen()
            other = cluster.run('dev', '--json', '--nodes', 1, '--groups', 1, '--data', folder, '--port', dev.port)
        self.assertEqual(other.returncode, 1)
        self.assertIn(http, other.stderr)
        self.assertIn(str(folder), other.stderr)

    def test_data_of_another_shape_is_refused(self):
        folder = self.folder() / 'data'
        dev = self.open(Dev, '--data', folder, nodes=1, groups=2)
        self.assertEqual(dev.stop(), 0)
        other = cluster.run('dev', '--json', '--nodes', 1, '--groups', 3, '--data', folder, '--port', dev.port)
        self.assertEqual(other.returncode, 1)
        self.assertEqual(other.stdout, '')
        self.assertIn('holds a cluster of 1 nodes and 2 groups', other.stderr)

    def test_a_port_in_use_is_refused_before_anything_starts(self):
        dev = self.open(Dev, nodes=1, groups=1)
        with tempfile.TemporaryDirectory() as temporary:
            other = cluster.run('dev', '--json', '--port', dev.port - 1, '--nodes', 2,
                                env={**os.environ, 'TMPDIR': temporary})
            self.assertEqual(os.listdir(temporary), [])
        self.assertEqual(other.returncode, 1)
        self.assertEqual(other.stdout, '')
        self.assertIn(f'127.0.0.1:{dev.port}', other.stderr)
        self.assertIn('choose another --port', other.stderr)
        with dev.client() as client:
            self.assertEqual(client('PING'), Status('PONG'))


class InATerminal(cluster.TestCase):
    def start(self, *arguments):
        """dev with a terminal of its own; returns it and the terminal's other end."""
        outer, inner = pty.openpty()
        self.addCleanup(os.close, outer)
        dev = Process.__new__(Process)
        dev.folder = self.folder()
        dev.temporary = dev.folder / 'tmp'
        dev.temporary.mkdir()
        dev.errors = open(dev.folder / 'stderr', 'w+b')
        dev.process = cluster.start(
            'dev', *arguments, stdin=inner, stdout=inner, stderr=dev.errors,
            env={**os.environ, 'TMPDIR': str(dev.temporary), 'TERM': 'xterm'}, start_new_session=True)
        os.close(inner)
        dev.process.stdout = open(os.devnull, 'rb')
        self.addCleanup(self.close_thing, dev)
        self.screen = b''
        return dev, outer

    def wait_for(self, outer, words):
        def shown():
            ready, _, _ = select.select([outer], [], [], 0.05)
            if ready:
                self.screen += os.read(outer, 1 << 16)
            return words in self.screen
        cluster.wait_until(shown, f'{words!r} on the screen, which shows {self.screen!r}')

    def test_keys_kill_and_restart_a_node_and_quit(self):
        port = cluster.free_ports(3)
        dev, outer = self.start('--port', port)
        self.wait_for(outer, b'q quit')
        for number in range(3):
            self.assertIn(f'127.0.0.1:{port + number}'.encode(), self.screen)
        os.write(outer, b'2')
        self.wait_for(outer, b'killing node 2')
        cluster.wait_until(lambda: 'node 2 died' in dev.log(), 'the death is reported')
        time.sleep(1.5)
        self.assertEqual(len(cluster.children_of(dev.pid)), 2)
        os.write(outer, b's')
        self.wait_for(outer, b'(down)')
        os.write(outer, b'2')
        self.wait_for(outer, b'node 2 started again')
        self.assertEqual(len(cluster.children_of(dev.pid)), 3)
        os.write(outer, b'q')
        self.assertEqual(dev.wait(), 0)
        self.assertEqual(os.listdir(dev.temporary), [])

    def test_without_json_it_prints_a_table_and_runs_until_a_signal(self):
        dev = self.open(Process, 'dev', '--nodes', 1, '--groups', 2, '--port', cluster.free_ports())
        lines = [dev.read_line() for _ in range(2)]
        self.assertIn('leads groups', lines[0])
        self.assertIn(' 2 3', lines[1])
        time.sleep(0.5)
        self.assertTrue(cluster.process_exists(dev.pid))
        self.assertEqual(dev.stop(signal.SIGINT), 0)
        self.assertNotIn(b'\x1b', dev.rest_of_output())


if __name__ == '__main__':
    cluster.main()
