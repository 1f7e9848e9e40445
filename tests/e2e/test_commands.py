"""Every command answers as Redis 7 does: the same lines to a packaged redis-server and to a cluster, in both protocols.

A case is a text, one command a line, on an empty data set. In front of a command:

    2>        on a second connection
    ~         a number that may be off by a little (times)
    sorted    an array whose order says nothing
    type      only the kind of the reply and, of an error, its first word
"""
import ast
import re
import shlex
import shutil
import sys
import time
import unittest

import cluster
from cluster import Dev, Redis, ReplyError, Status

# How far times may be off, in seconds and in milliseconds: the two are asked one after the other.
NEAR_S, NEAR_MS = 20, 20_000

CASES = {
    'connection': r'''
        PING
        PING hello
        PING a b
        ECHO hello
        ECHO
        ECHO a b
        SELECT 0
        SELECT x
        SELECT -1
        type SELECT 99
        HELLO 4
        HELLO x
        type HELLO 2 AUTH nobody wrong
        HELLO 2 SETNAME
        CLIENT SETNAME me
        CLIENT GETNAME
        CLIENT SETNAME "a b"
        CLIENT SETNAME ""
        CLIENT GETNAME
        type CLIENT ID
        type CLIENT INFO
        type CLIENT LIST
        CLIENT NO-EVICT on
        type CLIENT
        type CLIENT NOSUCH
        type CLIENT KILL 1.2.3.4:5
        CLIENT KILL ID 99999999
        RESET
        PING
        READONLY x
    ''',
    'what does not exist': r'''
        NOSUCH
        NOSUCH a b c
        nosuch "a b"
        GET
        GET a b
        SET a
        MGET
        MSET a
        MSET a 1 b
        INCRBY a
        EXPIRE a
        TTL
        SETRANGE a 0
        TYPE
        EXISTS
        TOUCH
        RANDOMKEY x
        KEYS
        DBSIZE x
        WATCH
        EXEC x
    ''',
    'set and get': r'''
        GET a
        SET a 1
        GET a
        set a "two words"
        get a
        SET a ""
        GET a
        STRLEN a
        SET "" empty
        GET ""
        SET k "\x00\xff\r\n"
        GET k
        EXISTS a
        EXISTS a a none ""
        TYPE a
        TYPE none
        DEL a a none
        UNLINK k
        DEL ""
        DBSIZE
    ''',
    'set with options': r'''
        SET a 1 NX
        SET a 2 NX
        SET a 2 XX
        SET b 2 XX
        GET a
        SET a 3 GET
        SET none 3 GET
        SET a 4 NX GET
        GET a
        SET new 4 NX GET
        GET new
        SET a 5 XX GET
        SET nope 5 XX GET
        EXISTS nope
        SET a 6 EX 100
        ~ TTL a
        SET a 7 KEEPTTL
        ~ TTL a
        SET a 8
        TTL a
        SET a 9 PX 100000
        ~ PTTL a
        SET a 1 EX 0
        SET a 1 EX -1
        SET a 1 PX 0
        SET a 1 EX x
        SET a 1 EX 9223372036854775807
        SET a 1 EX
        SET a 1 EX 10 PX 10
        SET a 1 EX 10 KEEPTTL
        SET a 1 NX XX
        SET a 1 NOSUCH
        SET a 1 GET GET
        SET a 1 nx xx
        SET a 1 EXAT 33177117420
        EXPIRETIME a
        SET a 1 PXAT 33177117420000
        PEXPIRETIME a
        SET a 1 EXAT 1
        GET a
        EXISTS a
        SET a 1 EXAT 0
        SET a 1 PXAT -5
        SET a 1 ex 100 get
        ~ TTL a
    ''',
    'older forms of set': r'''
        SETNX a 1
        SETNX a 2
        SETEX a 100 x
        ~ TTL a
        SETEX a 0 x
        SETEX a -1 x
        SETEX a x x
        PSETEX a 100000 y
        ~ PTTL a
        PSETEX a 0 y
        GETSET a z
        TTL a
        GETSET none z
        GETDEL a
        GETDEL a
        MSET {t}a 1 {t}b 2 {t}a 3
        MGET {t}a {t}b none {t}a
        MGET a
    ''',
    'pieces of strings': r'''
        APPEND a hello
        APPEND a ""
        APPEND a " world"
        GET a
        GETRANGE a 0 4
        GETRANGE a -5 -1
        GETRANGE a 0 -1
        GETRANGE a 5 2
        GETRANGE a -100 100
        GETRANGE a 100 200
        GETRANGE none 0 -1
        GETRANGE a x 1
        GETRANGE a 0 9223372036854775808
        GETRANGE a -9223372036854775808 9223372036854775807
        SETRANGE a 6 World
        GET a
        SETRANGE a 0 ""
        SETRANGE a 20 x
        GET a
        SETRANGE none 0 ""
        EXISTS none
        SETRANGE fresh 3 abc
        GET fresh
        SETRANGE a -1 x
        SETRANGE a x x
        STRLEN a
        STRLEN none
        EXPIRE a 100
        APPEND a z
        ~ TTL a
        SETRANGE a 0 q
        ~ TTL a
    ''',
    'counters': r'''
        INCR a
        INCR a
        DECR a
        INCRBY a 10
        DECRBY a 3
        INCRBY a -4
        DECRBY a -4
        GET a
        DECR fresh
        SET a 9223372036854775807
        INCR a
        INCRBY a 1
        DECR a
        SET a -9223372036854775808
        DECR a
        DECRBY a 1
        DECRBY a -9223372036854775808
        INCRBY a -9223372036854775808
        SET a x
        INCR a
        INCRBY b x
        INCRBY b 1.5
        INCRBY b 9223372036854775808
        DECRBY b x
        SET a " 1"
        INCR a
        SET a 01
        INCR a
        SET a -0
        INCR a
        SET a +1
        INCR a
        SET a ""
        INCR a
        SET a 5
        EXPIRE a 100
        INCR a
        ~ TTL a
    ''',
    'times to live': r'''
        TTL none
        PTTL none
        EXPIRETIME none
        PEXPIRETIME none
        EXPIRE none 10
        PERSIST none
        SET a 1
        TTL a
        PTTL a
        EXPIRETIME a
        PERSIST a
        EXPIRE a 100
        ~ TTL a
        ~ PTTL a
        PERSIST a
        TTL a
        PEXPIRE a 100000
        ~ PTTL a
        EXPIREAT a 33177117420
        EXPIRETIME a
        PEXPIRETIME a
        PEXPIREAT a 33177117420001
        PEXPIRETIME a
        EXPIRETIME a
        EXPIRE a 0
        EXISTS a
        SET a 1
        EXPIRE a -1
        EXISTS a
        SET a 1
        PEXPIREAT a 1
        EXISTS a
        SET a 1
        EXPIRE a x
        EXPIRE a 1.5
        EXPIRE a 9223372036854775807
        PEXPIRE a 9223372036854775807
        EXPIRE a 10 NOSUCH
        EXPIRE a 10 NX XX
        EXPIRE a 10 NX GT
        EXPIRE a 10 GT LT
        EXPIRE a 100 XX
        EXPIRE a 100 GT
        EXPIRE a 100 LT
        ~ TTL a
        EXPIRE a 100 NX
        EXPIRE a 200 GT
        ~ TTL a
        EXPIRE a 100 GT
        ~ TTL a
        EXPIRE a 300 LT
        ~ TTL a
        EXPIRE a 50 LT
        ~ TTL a
        EXPIRE a 60 XX
        ~ TTL a
        EXPIRE a 70 XX GT
        ~ TTL a
        PEXPIRE a 40000 XX LT
        ~ PTTL a
        PERSIST a
        EXPIRE a 10 nx
        ~ TTL a
    ''',
    'a key past its deadline is absent in every command': r'''
        SET a 1 PX 1
        SET b 1 PX 1
        SET c 1 PX 1
        SET d 1 PX 1
        SET e 1 PX 1
        SET f 1 PX 1
        SET g 1 PX 1
        pause 30
        GET a
        EXISTS a
        TYPE a
        TTL a
        STRLEN a
        MGET a b
        GETRANGE a 0 -1
        TOUCH a
        DEL b
        KEYS *
        RANDOMKEY
        APPEND c x
        INCR d
        SETNX e 2
        SET f 2 XX
        EXPIRE g 10
        GETDEL g
        PERSIST g
        SET a 1 GET
    ''',
    'keys': r'''
        MSET {t}one 1 {t}two 2 {t}three 3 {t}four 4
        sorted KEYS *
        sorted KEYS {t}t*
        sorted KEYS {t}?????
        sorted KEYS {t}[ot]*
        sorted KEYS {t}[^ot]*
        sorted KEYS {t}[a-f]*
        sorted KEYS {t}\*
        sorted KEYS nothing*
        sorted KEYS ""
        SET a*b 1
        SET a[b 1
        sorted KEYS a\*b
        sorted KEYS a\[b
        sorted KEYS a[[]b
        sorted KEYS [
        sorted KEYS *[
        TOUCH {t}one {t}two none
        EXISTS {t}one {t}one
        DBSIZE
        DEL {t}one {t}two none
        UNLINK {t}three
        DBSIZE
        FLUSHDB
        DBSIZE
        RANDOMKEY
        SET only 1
        RANDOMKEY
        FLUSHALL
        FLUSHALL ASYNC
        FLUSHALL SYNC
        FLUSHDB ASYNC
        FLUSHALL NOSUCH
        GET only
    ''',
    'scan': r'''
        SCAN x
        SCAN 0 NOSUCH
        SCAN 0 MATCH
        SCAN 0 COUNT 0
        SCAN 0 COUNT -1
        SCAN 0 COUNT x
        SCAN 0 TYPE
        SCAN
        SCAN 99999999999999999999999
    ''',
    'transactions': r'''
        EXEC
        DISCARD
        MULTI
        SET {t}a 1
        INCR {t}a
        GET {t}a
        GET {t}none
        MGET {t}a {t}none
        EXEC
        GET {t}a
        MULTI
        EXEC
        MULTI
        MULTI
        EXEC
        MULTI
        SET {t}a 5
        DISCARD
        GET {t}a
        MULTI
        NOSUCH x
        SET {t}a 9
        EXEC
        GET {t}a
        MULTI
        SET {t}a
        EXEC
        MULTI
        SET {t}s text
        INCR {t}s
        SET {t}t after
        EXEC
        GET {t}t
        MULTI
        WATCH {t}a
        EXEC
        MULTI
        PING
        ECHO hello
        EXEC
        EXEC
        MULTI
        RESET
        EXEC
        UNWATCH
    ''',
    'watch': r'''
        SET {t}a 1
        WATCH {t}a
        MULTI
        SET {t}a 2
        EXEC
        WATCH {t}a
        2> SET {t}a 3
        MULTI
        SET {t}a 4
        EXEC
        GET {t}a
        WATCH {t}a
        2> SET {t}a 3
        UNWATCH
        MULTI
        GET {t}a
        EXEC
        WATCH {t}none
        2> SET {t}none 1
        MULTI
        PING
        EXEC
        WATCH {t}none
        2> DEL {t}none
        MULTI
        PING
        EXEC
        WATCH {t}a {t}b
        2> SET {t}b 1
        MULTI
        PING
        EXEC
        WATCH {t}a
        2> SET {t}other 1
        MULTI
        PING
        EXEC
        WATCH {t}a
        2> SET {t}a 1
        DISCARD
        MULTI
        DISCARD
        MULTI
        PING
        EXEC
        WATCH {t}a
        2> EXPIRE {t}a 100
        MULTI
        PING
        EXEC
        WATCH {t}a
        SET {t}a own
        MULTI
        PING
        EXEC
        WATCH {t}a
        2> GET {t}a
        MULTI
        PING
        EXEC
        WATCH {t}a
        2> DEL {t}unrelated
        2> FLUSHALL
        MULTI
        PING
        EXEC
    ''',
    'the server': r'''
        type TIME
        type INFO
        type INFO server
        type INFO nosuch
        type ROLE
        type COMMAND
        type COMMAND COUNT
        type COMMAND DOCS GET
        type COMMAND LIST
        COMMAND INFO nosuch
        COMMAND GETKEYS GET a
        COMMAND GETKEYS MSET a 1 b 2
        COMMAND GETKEYS MGET a b c
        COMMAND GETKEYS PING
        type COMMAND GETKEYS
        type COMMAND NOSUCH
        CONFIG GET save
        CONFIG GET nosuch
        type CONFIG GET *
        type CONFIG NOSUCH
        CONFIG RESETSTAT
        DBSIZE
    ''',
}

COMMAND_NAMES = '''
    ping echo hello select quit reset client command config info dbsize flushdb flushall time role wait get set
    setnx setex psetex getset getdel mget mset append strlen getrange setrange incr decr incrby decrby del unlink
    exists type touch keys scan randomkey expire pexpire expireat pexpireat ttl pttl expiretime pexpiretime
    persist multi exec discard watch unwatch'''.split()

dev = None
redis = None
is_redis_7 = True


def setUpModule():
    global dev, redis, is_redis_7
    if shutil.which('redis-server') is None:
        raise unittest.SkipTest('redis-server is missing, so nothing is compared: make setup installs it')
    redis = Redis()
    unittest.addModuleCleanup(redis.discard)
    with redis.client() as client:
        is_redis_7 = b'redis_version:7.' in client('INFO', 'server')
    if not is_redis_7:
        print('the packaged redis-server is not Redis 7: only the kinds of replies are compared', file=sys.stderr)
    dev = Dev(env=cluster.STEADY)
    unittest.addModuleCleanup(dev.discard)
    dev.wait_writable()


def words_of(line):
    words = shlex.split(line.replace('\\', '\\\\'))
    return [re.sub(r'\\(x..|r|n)', lambda match: ast.literal_eval(f'"{match[0]}"'), word).encode('latin-1')
            for word in words]


def steps_of(text):
    """(line, marks, words) of every command."""
    for line in text.strip().splitlines():
        words = words_of(line)
        marks = []
        while words[0] in (b'2>', b'~', b'sorted', b'type', b'pause'):
            marks.append(words.pop(0).decode())
        yield line.strip(), marks, words


def kind(reply):
    if isinstance(reply, ReplyError):
        return 'error', str(reply).split()[0]
    return type(reply).__name__


def equal(ours, theirs, marks):
    if '~' in marks:
        return isinstance(ours, int) and isinstance(theirs, int) and (ours < 0) == (theirs < 0) and \
            abs(ours - theirs) <= (NEAR_MS if theirs > 1000 else NEAR_S)
    if 'sorted' in marks:
        return isinstance(ours, list) and sorted(ours) == sorted(theirs)
    if 'type' in marks or not is_redis_7:
        return kind(ours) == kind(theirs)
    return type(ours) is type(theirs) and ours == theirs


class AsRedis(cluster.TestCase):
    def connect(self, address, protocol):
        client = cluster.Client(address)
        self.addCleanup(client.close)
        client('HELLO', protocol)
        return client

    def compare(self, name, text, protocol, node):
        sides = [[self.connect(address, protocol) for _ in range(2)] for address in (dev.address(node), redis.address)]
        for first, _ in sides:
            self.assertEqual(first('FLUSHALL'), Status('OK'))
        different = []
        for line, marks, words in steps_of(text):
            if 'pause' in marks:
                time.sleep(int(words[0]) / 1000)
                continue
            ours, theirs = (side['2>' in marks](*words) for side in sides)
            if not equal(ours, theirs, marks):
                different.append(f'{line}\n    ours   {ours!r}\n    redis  {theirs!r}')
            if words[0].upper() == b'RESET':
                for side in sides:
                    side[0]('HELLO', protocol)
        if different:
            self.fail(f'{name}, RESP{protocol}: {len(different)} replies differ\n' + '\n'.join(different))

    def test_every_case_in_both_protocols_through_changing_nodes(self):
        for position, (name, text) in enumerate(CASES.items()):
            for protocol in (2, 3):
                with self.subTest(case=name, protocol=protocol):
                    self.compare(name, text, protocol, (position + protocol) % 3 + 1)

    def test_quit_answers_and_closes(self):
        for address in (dev.address(1), redis.address):
            client = self.connect(address, 2)
            self.assertEqual(client('QUIT'), Status('OK'))
            with self.assertRaises(cluster.Closed):
                client.read()

    def test_hello_has_the_fields_that_clients_read(self):
        for protocol in (2, 3):
            client = self.connect(dev.address(2), protocol)
            reply = client('HELLO')
            if protocol == 2:
                reply = dict(zip(reply[::2], reply[1::2]))
            self.assertEqual(set(reply), {b'server', b'version', b'proto', b'id', b'mode', b'role', b'modules'})
            self.assertEqual((reply[b'proto'], reply[b'role'], reply[b'mode'], reply[b'modules']),
                             (protocol, b'master', b'standalone', []))
            self.assertTrue(reply[b'version'].startswith(b'7.'))

    def test_commands_describe_themselves_as_in_redis(self):
        ours, theirs = (self.connect(address, 2)('COMMAND', 'INFO', *COMMAND_NAMES)
                        for address in (dev.address(3), redis.address))
        for name, mine, other in zip(COMMAND_NAMES, ours, theirs):
            with self.subTest(command=name):
                # name, arity, first key, last key, step
                self.assertEqual(mine[:2] + mine[3:6], other[:2] + other[3:6])
                self.assertEqual(Status('write') in mine[2], Status('write') in other[2])
                self.assertEqual(Status('readonly') in mine[2], Status('readonly') in other[2])

    def test_wait_counts_the_voters_that_hold_the_last_write(self):
        client = self.connect(dev.address(1), 2)
        self.assertEqual(client('SET', 'a', '1'), Status('OK'))
        self.assertGreaterEqual(client('WAIT', 1, 60000), 1)
        self.assertEqual(kind(client('WAIT', 'x', 1)), ('error', 'ERR'))

    def test_what_is_past_its_deadline_is_not_counted(self):
        client = self.connect(dev.address(1), 2)
        client('FLUSHALL')
        client.pipeline([('SET', f'k{i}', 1, 'PX', 1) for i in range(20)] + [('SET', 'stays', 1)])
        time.sleep(0.03)
        self.assertEqual(client('DBSIZE'), 1)

    def test_scan_returns_what_is_there_throughout_whatever_else_changes(self):
        client = self.connect(dev.address(2), 2)
        client('FLUSHALL')
        stay = {b'stay:%d' % i for i in range(1000)}
        client.pipeline([('SET', key, 1) for key in sorted(stay)])
        ones = {key for key in stay if key.startswith(b'stay:1')}
        for options, wanted in (((), stay), (('MATCH', '*', 'TYPE', 'string'), stay), (('MATCH', 'stay:1*'), ones),
                                (('TYPE', 'list'), set())):
            cursor, found, rounds = b'0', [], 0
            while True:
                client.pipeline([('SET', f'come:{rounds}', 1), ('DEL', f'come:{rounds - 2}')])
                cursor, keys = client('SCAN', cursor, *options, 'COUNT', 50)
                found += [key for key in keys if key in stay]
                rounds += 1
                self.assertLess(rounds, 1000)
                if cursor == b'0':
                    break
            self.assertEqual(set(found), wanted)


class BeyondRedis70(cluster.TestCase):
    def setUp(self):
        self.client = dev.client(1)
        self.addCleanup(self.client.close)
        self.client('FLUSHALL')

    def test_compare_and_set_and_compare_and_delete(self):
        client = self.client
        self.assertIsNone(client('SET', 'a', 'new', 'IFEQ', 'old'))
        self.assertEqual(client('EXISTS', 'a'), 0)
        self.assertEqual(client('SET', 'a', 'old'), Status('OK'))
        self.assertIsNone(client('SET', 'a', 'new', 'IFEQ', 'other'))
        self.assertEqual(client('GET', 'a'), b'old')
        self.assertEqual(client('SET', 'a', 'new', 'IFEQ', 'old'), Status('OK'))
        self.assertEqual(client('GET', 'a'), b'new')
        self.assertEqual(client('SET', 'a', 'newer', 'IFEQ', 'new', 'GET'), b'new')
        self.assertEqual(kind(client('SET', 'a', 'x', 'IFEQ', 'y', 'NX')), ('error', 'ERR'))
        self.assertEqual(client('DELIFEQ', 'a', 'wrong'), 0)
        self.assertEqual(client('DELIFEQ', 'a', 'newer'), 1)
        self.assertEqual(client('DELIFEQ', 'a', 'newer'), 0)

    def test_keys_of_several_groups(self):
        client = self.client
        keys = [f'k{i}' for i in range(32)]
        reply = client('MSET', *[word for key in keys for word in (key, key)])
        self.assertEqual(kind(reply), ('error', 'CROSSGROUP'))
        self.assertEqual(client('DBSIZE'), 0)
        for key in keys:
            client('SET', key, key)
        self.assertEqual(client('MGET', *keys), [key.encode() for key in keys])
        self.assertEqual(client('EXISTS', *keys, 'none'), 32)
        self.assertEqual(client('TOUCH', *keys, 'none'), 32)
        self.assertEqual(client('DBSIZE'), 32)
        client('MULTI')
        replies = client.pipeline([('INCR', f'n{i}') for i in range(16)] + [('EXEC',)])
        self.assertIn(kind(replies[-1]), (('error', 'CROSSGROUP'), ('error', 'EXECABORT')))
        self.assertEqual(client('EXISTS', *[f'n{i}' for i in range(16)]), 0)
        self.assertEqual(client('DEL', *keys), 32)
        self.assertEqual(client('DBSIZE'), 0)

    def test_setinfo_and_what_newer_clients_send(self):
        client = self.client
        self.assertEqual(client('CLIENT', 'SETINFO', 'LIB-NAME', 'test'), Status('OK'))
        self.assertEqual(client('CLIENT', 'SETINFO', 'LIB-VER', '1.0'), Status('OK'))
        for words in (('LATENCY', 'LATEST'), ('SLOWLOG', 'LEN'), ('SLOWLOG', 'GET'), ('CONFIG', 'GET', '*'),
                      ('INFO', 'ALL'), ('INFO', 'everything')):
            self.assertNotIsInstance(client(*words), ReplyError, words)

    def test_reads_may_be_stale_when_a_connection_asks_for_it(self):
        client = self.client
        self.assertEqual(client('RAFT.READ', 'stale'), Status('OK'))
        self.assertEqual(client('SET', 'a', '1'), Status('OK'))
        cluster.wait_until(lambda: client('GET', 'a') == b'1', 'a stale read sees it in the end')
        self.assertEqual(client('RAFT.READ', 'linearizable'), Status('OK'))
        self.assertEqual(client('GET', 'a'), b'1')
        self.assertEqual(kind(client('RAFT.READ', 'sometimes')), ('error', 'ERR'))

    def test_the_raft_commands(self):
        client = self.client
        client('SET', 'a', '1')
        self.assertNotIsInstance(client('RAFT.STATUS'), ReplyError)
        self.assertNotIsInstance(client('RAFT.GROUPS'), ReplyError)
        self.assertNotIsInstance(client('RAFT.BARRIER'), ReplyError)
        self.assertNotIsInstance(client('RAFT.LOG', 2), ReplyError)
        self.assertIsInstance(client('RAFT.LOG', 999), ReplyError)

    def test_leadership_can_be_handed_over(self):
        for asked in (1, 2, 3):
            target = cluster.wait_until(lambda: dev.leaders().get(2), 'a leader') % 3 + 1
            with dev.client(asked) as client:
                # Refused while it is being handed over already.
                cluster.wait_until(lambda: client('RAFT.TRANSFER', 2, target) == Status('OK'), 'a transfer begins')
            cluster.wait_until(lambda: dev.leaders().get(2) == target, f'node {target} leads group 2', pause=0.1)
        dev.wait_writable()


if __name__ == '__main__':
    cluster.main()
