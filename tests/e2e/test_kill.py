"""kill -9 of each node in turn under load: what was acknowledged is there, on every node, within seconds."""
import threading
import time

import cluster
from cluster import Client, Closed, Dev, ReplyError, Status

READ_BACK_SECONDS_GOAL = 5
READ_BACK_SECONDS_MAX = 60   # on a machine that does other things too
ACKNOWLEDGED_BETWEEN = 100   # writes before each kill: otherwise it meets nothing
ROUNDS_MAX = 10              # of one kill of each node, until some write was under way when its node was killed
KEYS_PER_READ = 200
PIPELINE = 16


class Outcomes:
    """What one writer learned. Every SET has a key of its own, so that each outcome can be judged by itself."""

    def __init__(self):
        self.acknowledged = {}   # key: value
        self.unknown = set()     # in flight when the connection broke, or -INDETERMINATE: may be there
        self.refused = set()     # refused before it was proposed: must not be there
        self.count_acknowledged = 0
        self.count_unknown = 0
        self.last_count = 0
        self.problems = []

    def judge_set(self, key, value, reply):
        if reply == Status('OK'):
            self.acknowledged[key] = value
        elif isinstance(reply, ReplyError) and str(reply).startswith('INDETERMINATE '):
            self.unknown.add(key)
        elif isinstance(reply, ReplyError) and str(reply).startswith('CLUSTERDOWN '):
            self.refused.add(key)
        else:
            self.problems.append(f'SET {key} answered {reply!r}')

    def judge_incr(self, key, reply):
        if isinstance(reply, int):
            if reply <= self.last_count:
                self.problems.append(f'INCR {key} answered {reply} after {self.last_count}')
            self.last_count = reply
            self.count_acknowledged += 1
        elif isinstance(reply, ReplyError) and str(reply).startswith('INDETERMINATE '):
            self.count_unknown += 1
        elif not (isinstance(reply, ReplyError) and str(reply).startswith('CLUSTERDOWN ')):
            self.problems.append(f'INCR {key} answered {reply!r}')


class Kills:
    """The nodes that were killed so far. A connection is made before a kill or behind it, never in the middle: it is
    known whether the node that cuts it off was alive."""

    def __init__(self, dev):
        self.dev, self.numbers, self.lock = dev, [], threading.Lock()

    def count(self, number):
        with self.lock:
            return self.numbers.count(number)

    def kill(self, number):
        with self.lock:
            pid = self.dev.kill_node(number)
            cluster.wait_until(lambda: not cluster.process_exists(pid), f'node {number} is dead', pause=0.001)
            self.numbers.append(number)
        return pid

    def connect(self, number):
        """A connection, and how often the node had been killed before."""
        with self.lock:
            return self.dev.client(number), self.numbers.count(number)


class Writer(threading.Thread):
    """Writes until it is told to stop; takes another node when its own goes away."""

    def __init__(self, name, dev, number, pipeline, kills):
        super().__init__(name=name)
        self.dev, self.number, self.pipeline, self.kills = dev, number, pipeline, kills
        self.kills_before = 0
        self.outcomes = Outcomes()
        self.stopping = threading.Event()
        self.sequence = 0

    def stop(self):
        self.stopping.set()
        self.join()

    def run(self):
        client = None
        while not self.stopping.is_set():
            if client is None:
                client = self.connect()
                continue
            if not self.write_some(client):
                client.close()
                client = None
            time.sleep(0.002 * self.pipeline)
        if client is not None:
            client.close()

    def connect(self):
        self.number = self.number % 3 + 1
        try:
            client, self.kills_before = self.kills.connect(self.number)
            return client
        except OSError:
            time.sleep(0.02)
            return None

    def write_some(self, client):
        """One round of `pipeline` commands, half of them counting; False when the connection broke."""
        round_of = []
        for i in range(self.pipeline):
            self.sequence += 1
            key = f'{self.name}:{self.sequence}'
            if self.sequence % 2 == 0:
                round_of.append(('INCR', f'{self.name}:count'))
            else:
                round_of.append(('SET', key, f'value of {key}'))
        answered = 0
        try:
            client.send_raw(b''.join(cluster.encode(*words) for words in round_of))
            for words in round_of:
                reply = client.read()
                answered += 1
                if words[0] == 'SET':
                    self.outcomes.judge_set(words[1], words[2], reply)
                else:
                    self.outcomes.judge_incr(words[1], reply)
        except TimeoutError:
            self.outcomes.problems.append(f'{self.name}: no answer within {client.socket.gettimeout()} s')
        except (Closed, OSError) as error:
            # A client that is cut off may send its commands again by itself: only a killed node may do that to it.
            if self.kills.count(self.number) == self.kills_before:
                self.outcomes.problems.append(f'{self.name}: node {self.number} lives but cut it off: {error}')
        for words in round_of[answered:]:
            if words[0] == 'SET':
                self.outcomes.unknown.add(words[1])
            else:
                self.outcomes.count_unknown += 1
        return answered == len(round_of)


def read_all(address, keys, deadline):
    """{key: value} read from one node; repeats what is refused until the deadline."""
    found = {}
    pieces = [keys[i:i + KEYS_PER_READ] for i in range(0, len(keys), KEYS_PER_READ)]
    trouble = None
    while pieces:
        if time.monotonic() > deadline:
            raise AssertionError(f'{address}: {len(pieces)} of {len(keys) // KEYS_PER_READ + 1} reads are not '
                                 f'answered in time, the last with {trouble!r}')
        try:
            with Client(address) as client:
                while pieces:
                    reply = client('MGET', *pieces[-1])
                    if isinstance(reply, ReplyError):
                        trouble = reply
                        time.sleep(0.02)
                        break
                    found.update(zip(pieces.pop(), reply))
        except (Closed, OSError) as error:
            trouble = error
            time.sleep(0.02)
    return found


class UnderLoad(cluster.TestCase):
    def test_P1_every_acknowledged_write_survives_kill_9_of_each_node_in_turn(self):
        dev = self.open(Dev)
        dev.wait_writable()
        kills = Kills(dev)
        writers = [Writer(f'w{i}', dev, i, pipeline, kills)
                   for i, pipeline in enumerate((1, 1, 1, PIPELINE, PIPELINE))]
        for writer in writers:
            writer.start()
        try:
            for _ in range(ROUNDS_MAX):
                for number in (1, 2, 3):
                    self.wait_for_writes(writers)
                    dev.wait_restarted(number, kills.kill(number))
                    restarted = time.monotonic()
                if any(writer.outcomes.unknown or writer.outcomes.refused for writer in writers):
                    break
        finally:
            for writer in writers:
                writer.stop()
        self.check(dev, [writer.outcomes for writer in writers], [writer.name for writer in writers], restarted)
        self.assertEqual(dev.stop(), 0)

    def wait_for_writes(self, writers):
        """A second, and longer where fewer writes than wanted are acknowledged in it."""
        def acknowledged():
            return sum(len(writer.outcomes.acknowledged) for writer in writers)
        before = acknowledged()
        time.sleep(1)
        cluster.wait_until(lambda: acknowledged() >= before + ACKNOWLEDGED_BETWEEN, 'writes are acknowledged')

    def check(self, dev, outcomes, names, restarted):
        acknowledged = {key: value for one in outcomes for key, value in one.acknowledged.items()}
        unknown = set().union(*(one.unknown for one in outcomes))
        refused = set().union(*(one.refused for one in outcomes))
        counts = [f'{name}:count' for name in names]
        keys = [*acknowledged, *unknown, *refused, *counts]
        self.assertEqual([problem for one in outcomes for problem in one.problems], [])
        # Otherwise nothing was put to the test.
        self.assertGreaterEqual(len(acknowledged), 3 * ACKNOWLEDGED_BETWEEN)
        self.assertGreater(len(unknown) + len(refused), 0, 'no write met a kill')
        found = {}
        for address in dev.addresses:
            found[address] = read_all(address, keys, restarted + READ_BACK_SECONDS_MAX)
        cluster.figure(f'{len(acknowledged)} acknowledged writes ({len(unknown)} unknown, {len(refused)} refused) read '
                       f'from three nodes {time.monotonic() - restarted:.2f} s after the last restart '
                       f'(goal {READ_BACK_SECONDS_GOAL} s)')
        for address, values in found.items():
            lost = [key for key, value in acknowledged.items() if values[key] != value.encode()]
            self.assertEqual(lost, [], f'{address} lost {len(lost)} acknowledged writes')
            there = [key for key in refused if values[key] is not None]
            self.assertEqual(there, [], f'{address} has writes that were refused as not proposed')
            for name, one in zip(names, outcomes):
                value = int(values[f'{name}:count'] or 0)
                self.assertGreaterEqual(value, one.count_acknowledged, f'{address}: {name} lost counts')
                self.assertGreaterEqual(value, one.last_count, f'{address}: {name} went back')
                self.assertLessEqual(value, one.count_acknowledged + one.count_unknown,
                                     f'{address}: {name} counted twice')
        # An unknown write may be there or not, but the nodes agree.
        self.assertEqual(found[dev.address(1)], found[dev.address(2)])
        self.assertEqual(found[dev.address(1)], found[dev.address(3)])

    def test_P1_one_voter_alone_keeps_what_it_acknowledged(self):
        dev = self.open(Dev, nodes=1, env=cluster.STEADY)
        kept = {}
        for round_number in range(3):
            with dev.client() as client:
                commands = [('SET', f'{round_number}:{i}', i) for i in range(200)]
                try:
                    client.send_raw(b''.join(cluster.encode(*words) for words in commands))
                    for words in commands[:150]:
                        self.assertEqual(client.read(), Status('OK'))
                        kept[words[1]] = str(words[2]).encode()
                    pid = dev.kill_node(1)
                except Closed:
                    self.fail('the node went away by itself')
            dev.wait_restarted(1, pid)
            dev.wait_writable()
            with dev.client() as client:
                self.assertEqual(client('MGET', *kept), list(kept.values()))

    def test_P1_all_nodes_killed_at_once_keep_what_was_acknowledged(self):
        dev = self.open(Dev, env=cluster.STEADY)
        with dev.client(2) as client:
            replies = client.pipeline([('SET', f'k{i}', i) for i in range(500)])
        self.assertEqual(replies, [Status('OK')] * 500)
        pids = [dev.kill_node(number) for number in (1, 2, 3)]
        for number, pid in enumerate(pids, 1):
            dev.wait_restarted(number, pid)
        found = read_all(dev.address(3), [f'k{i}' for i in range(500)], time.monotonic() + READ_BACK_SECONDS_MAX)
        self.assertEqual(found, {f'k{i}': str(i).encode() for i in range(500)})


if __name__ == '__main__':
    cluster.main()
