#!/usr/bin/python3
"""Planted bugs: every mutation of src/base/mutation.h must be found by the test that claims to find it.

    mutants.py [BUILD_DIR] [--only NAME,…] [--jobs N] [--list | --programs]

BUILD_DIR is a build with -DHF_MUTATIONS=ON. For each mutation the tests of the table below run with it switched on; one
of them must fail, in a test whose name matches. Before that, every test runs once without a mutation and must pass:
a test that always fails finds nothing.

Exits 1 when a mutation survives, or has no test, or a test fails without one.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TIMEOUT_SECONDS = 300


class Kill:
    """A program, and what of it should fail: a pattern over the names of its cmocka tests."""

    def __init__(self, program, pattern):
        self.program, self.pattern = program, pattern

    def baseline(self):
        return (self.program,)

    def command(self, mutation):
        return (self.program,)

    @property
    def filter(self):
        """What of the program is run, as cmocka wants it: a pattern that is the beginning of a name, or everything."""
        return f'{self.pattern[1:]}*' if re.fullmatch(r'\^\w+', self.pattern) else None

    def judge(self, done):
        """The name of the failing test when the mutation was found, else None."""
        if done.returncode == 0:
            return None
        return next((name for name in failed_tests(done) if re.search(self.pattern, name)), None)


class Simulate:
    """Seeds of the cluster simulation; `sim --mutation` succeeds when one of them finds the bug."""

    filter = None

    def __init__(self, first, last):
        self.first, self.last = str(first), str(last)

    def baseline(self):
        return ('sim', '--seeds', self.first, self.last)

    def command(self, mutation):
        return ('sim', '--mutation', mutation, '--seeds', self.first, self.last)

    def judge(self, done):
        match = re.search(r'found by seed (\d+)', done.stdout)
        return f'sim --seed {match[1]}' if done.returncode == 0 and match else None


GUARDS = 'test_replica_guards'
RULES = 'test_replica_rules'
INSTALL = 'test_replica_install'
MEMBERS = 'test_member_scenes'
CRASH = 'test_log_crash'
DAMAGE = 'test_log_damage'
FAILURE = 'test_log_failure'
INDEX_FILES = 'test_log_index_files'
MISDIRECTED = 'test_log_misdirected'
SNAPSHOT_CRASH = 'test_snapshot_crash'
SNAPSHOT_FAILURE = 'test_snapshot_failure'
SNAPSHOT_CONTRACT = 'test_snapshot_contract'
ITEMS_APPEND = 'test_log_items_append'
ITEMS_DURABILITY = 'test_log_items_durability'
ITEMS_READS = 'test_log_items_reads'
ITEMS_RECOVERY = 'test_log_items_recovery'
ITEMS_TRUNCATE = 'test_log_items_truncate'
COLLECT = 'test_log_collect'
COLLECT_CRASH = 'test_log_collect_crash'
MARGINS = 'test_log_margins'
SEAMS = 'test_log_seams'

# Which tests find which bug: the first that does is enough.
TESTS = {
    'GUARD_A': [Kill(GUARDS, '^GA_')],
    'GUARD_B': [Kill(GUARDS, '^GB_')],
    'GUARD_C': [Kill(GUARDS, '^GC_')],
    'GUARD_D': [Kill(GUARDS, '^GD_')],
    'GUARD_E': [Kill(GUARDS, '^GE_')],
    'GUARD_F': [Kill(GUARDS, '^GF_')],
    'GUARD_G': [Kill(GUARDS, '^GG_')],
    'GUARD_H': [Kill(RULES, '^GH_')],
    'GUARD_I': [Kill(RULES, '^GI_')],
    'GUARD_J': [Kill(RULES, '^GJ_')],
    'GUARD_K': [Kill(RULES, '^GK_')],
    'GUARD_M': [Kill(MEMBERS, '^GM_')],
    'GUARD_L': [Kill(RULES, '^GL_')],
    'REJOIN_VOTES': [Simulate(1, 200), Kill('test_relaxed_scenes', '^P1_a_member')],
    'REJOIN_ENDS_EARLY': [Kill('test_replica_rejoin', '^P1_it_votes_again')],
    'RELAXED_LOSS_OVERLOOKED': [Simulate(1, 200), Kill('test_relaxed_scenes', '^P1_a_member')],
    'RELAXED_OPEN_BELIEVED': [Kill('test_relaxed_scenes', '^P1_an_open')],
    'REJOIN_ANSWER_UNASKED': [Kill('test_replica_rejoin', '^P1_an_answer_to_an_earlier')],
    'REJOIN_NOT_SENT_AGAIN': [Kill('test_relaxed_scenes', '^P1_what_a_member_lost')],
    'RULE_1_MESSAGE_BEFORE_VOTE': [Kill(RULES, '^R1_')],
    'RULE_3_TRUNCATED_REPORTED': [Kill(RULES, '^R3_')],
    'RULE_4_COMMIT_NOT_CLAMPED': [Kill(RULES, '^R4_')],
    'RULE_16_CONFIGURATION_NOT_FED': [Kill(RULES, '^R16_')],
    'SNAPSHOT_COMPACTS_TO_THE_NEWEST': [Kill('test_node_snapshots', '^the_log_reaches_back|^H8_')],
    'SNAPSHOT_TAKES_NO_TURNS': [Kill('test_node_snapshots', '^groups_take_turns')],
    'SNAPSHOT_SPAN_FORGOTTEN': [Kill('test_node_snapshots', '^a_log_that_one_snapshot')],
    'SNAPSHOT_RECORDS_ARE_FREE': [Kill('test_node_snapshots', '^small_entries')],
    'SNAPSHOT_OLDER_HANDED_OUT': [Kill('test_node_handout', '^P2_')],
    'SNAPSHOTS_LOST_FOR_GOOD': [Kill('test_snapshot_damage', '^H8_'), Simulate(1, 40)],
    'SNAPSHOT_BEYOND_DURABLE': [Kill(INSTALL, '^R4_')],
    'SNAPSHOT_OF_AN_OLDER_LEADER': [Kill(INSTALL, '^an_install_waits_for_a_leader')],
    'SNAPSHOT_REPORTED_BEFORE_IMPORT': [Kill(INSTALL, '^H7_the_order')],
    'SNAPSHOT_IMPORTED_BEFORE_RESET': [Kill(INSTALL, '^H7_the_order')],
    'RECOVER_BY_LENGTH_ALONE': [Kill('test_recover_plan', '^the_highest_term')],
    'RECOVER_DROPS_UNCOMMITTED': [Kill('test_recover', '^entries_that_nobody_knows')],
    'RECOVER_IDENTITY_FIRST': [Kill('test_recover', '^H4_')],
    'WIPED_NODE_ADMITTED': [Kill(MEMBERS, '^H18_')],
    'PROMOTED_BEFORE_CAUGHT_UP': [Kill(MEMBERS, '^H14_a_node_that_does_not_catch_up')],
    'FORGOTTEN_UNCONFIRMED': [Kill(MEMBERS, '^nobody_is_forgotten')],
    'CHANGE_OF_TWO': [Kill(RULES, '^R14_')],
    'ADDRESS_NOT_CHECKED': [Kill(MEMBERS, '^nobody_joins_from')],
    'LEADS_UNTIL_CLOCKS_AGREE': [Kill(MEMBERS, '^H14_a_leader_loses_its_vote')],
    'MEMBERS_NOT_TOLD': [Kill(MEMBERS, '^a_node_that_slept_through')],
    'READ_WITHOUT_ROUND': [Kill(RULES, '^P3_a_read_waits_for_a_majority')],
    'READ_BEFORE_OWN_TERM': [Kill(RULES, '^P3_a_read_waits_until_an_entry')],
    'LOG_ACK_BEFORE_DURABLE': [Kill(CRASH, '^P1_')],
    'LOG_ACK_OUT_OF_ORDER': [Kill(FAILURE, '^L17_'), Kill(CRASH, '^P1_')],
    'LOG_SKIP_SYNC': [Kill(CRASH, '^P1_')],
    'LOG_SKIP_DIRECTORY_SYNC': [Kill(FAILURE, '^L19_'), Kill(CRASH, '^P1_')],
    'LOG_RETRY_AFTER_SYNC_ERROR': [Kill(FAILURE, '^H1_')],
    'LOG_CHECKSUM_NOT_SEEDED': [Kill(MISDIRECTED, '^H17_')],
    'LOG_TORN_IS_KEPT': [Kill(CRASH, '^L9_')],
    'LOG_DAMAGE_IS_TORN': [Kill(DAMAGE, '^H3_')],
    'LOG_REPAIR_HALF_IS_WHOLE': [Kill('test_log_repair', '^H3_a_group_is_damaged_until')],
    'REPAIR_UNCOMMITTED': [Kill('test_repair_frame', '^H3_only_committed')],
    'LOG_REPAIR_TERM_UNCHECKED': [Kill('test_log_repair', '^H3_an_entry_of_another_term')],
    'LOG_VOTE_LOST': [Kill(CRASH, '^P1_')],
    'LOG_STALL_NOT_TOLD': [Kill('test_log_failure', '^a_stalled_disk_is_told'), Kill('test_node_scenes', '^H21_')],
    'LOG_TAIL_NOT_COPIED': [Kill(CRASH, '^L18_')],
    'SNAPSHOT_SKIP_DIRECTORY_SYNC': [Kill(SNAPSHOT_CRASH, '^L44_')],
    'SNAPSHOT_PUBLISH_BEFORE_SYNC': [Kill(SNAPSHOT_CRASH, '^L44_')],
    'SNAPSHOT_CHUNK_NOT_BOUND': [Kill(SNAPSHOT_FAILURE, '^H17_')],
    'SNAPSHOT_PARTIAL_LISTED': [Kill(SNAPSHOT_CRASH, '^L44_')],
    'SNAPSHOT_RECEIVED_IS_LATEST': [Kill(SNAPSHOT_CONTRACT, '^H7_')],
    'SNAPSHOT_RESUMED_FROM_CACHE': [Kill(SNAPSHOT_FAILURE, '^H1_')],
    'SNAPSHOT_DIGEST_UNCHECKED': [Kill(SNAPSHOT_CONTRACT, '^H8_')],
    'LOG_STALE_ACCEPTED': [Kill(DAMAGE, '^L51_'), Kill(COLLECT, '^L57_')],
    'LOG_DECLARED_TOO_FAR': [Kill(ITEMS_RECOVERY, '^L48_'), Kill(CRASH, '^P1_')],
    'LOG_MISSING_IGNORED': [Kill(ITEMS_RECOVERY, '^L50_'), Kill(DAMAGE, '^L50_')],
    'LOG_OPENING_BELIEVED': [Kill('test_log_repair', '^H3_entries_of_a_peer_heal_a_flipped')],
    'LOG_OPENING_CUT_SHORT': [Kill('test_log_items_reads', '.')],
    'LOG_RUN_BY_CHECK_ALONE': [Kill('test_log_format', '^two_groups_with_the_same_check')],
    'LOG_HOLE_OF_ONE_GROUP': [Kill(DAMAGE, '^H3_a_vote')],
    'LOG_RUNS_NOT_COUNTED': [Kill(DAMAGE, '^H3_'), Kill(DAMAGE, '^L50_')],
    'LOG_SEGMENT_NOT_SYNCED': [Kill(ITEMS_DURABILITY, '^L15_'), Kill(CRASH, '^P1_')],
    'LOG_READ_UNVERIFIED': [Kill(ITEMS_READS, '^L33_')],
    'LOG_TRUNCATION_FORGOTTEN': [Kill(ITEMS_TRUNCATE, '^L36_')],
    'LOG_FLOOR_FORGOTTEN': [Kill(ITEMS_TRUNCATE, '^L40_')],
    'LOG_REMOVAL_FORGOTTEN': [Kill(ITEMS_TRUNCATE, '^L45_')],
    'LOG_GAP_ACCEPTED': [Kill(ITEMS_APPEND, '^L2_')],
    'LOG_FLOOR_OVERWRITTEN': [Kill(ITEMS_APPEND, '^L5_')],
    'LOG_TERM_DECREASES': [Kill(ITEMS_APPEND, '^L11_')],
    'LOG_NOT_LOCKED': [Kill(ITEMS_RECOVERY, '^L58_')],
    'LOG_RELEASE_BEFORE_DURABLE': [Kill(SEAMS, '^L57_a_trailer'), Kill(COLLECT, '^L57_')],
    'LOG_UNLINK_BEFORE_DECLARED': [Kill(COLLECT, '^L57_'), Kill(COLLECT_CRASH, '^L57_')],
    'LOG_MOVED_OVERWRITES': [Kill(COLLECT, '^L57_')],
    'LOG_STATE_NOT_MOVED': [Kill(COLLECT, '^L57_'), Kill(COLLECT_CRASH, '^an_idle_group')],
    'LOG_FLOOR_NOT_MOVED': [Kill(COLLECT, '^L57_'), Kill(COLLECT_CRASH, '^an_idle_group')],
    'LOG_REMOVAL_NOT_MOVED': [Kill(COLLECT_CRASH, '^an_idle_group')],
    'LOG_UNSURE_NAME_FOLLOWED': [Kill(SEAMS, '^H4_a_name')],
    'LOG_STATES_PASSED_OVER': [Kill(SEAMS, '^L57_no_group')],
    'LOG_RECYCLED_NOT_SYNCED': [Kill(COLLECT, '^L57_'), Kill(COLLECT_CRASH, '^L57_')],
    'LOG_LEFT_OVER_BELIEVED': [Kill(COLLECT_CRASH, '^L57_files_that_come_back')],
    'LOG_INDEX_STALE_ACCEPTED': [Kill(INDEX_FILES, '^L51_'), Kill(INDEX_FILES, '^L50_')],
    'LOG_INDEX_BEFORE_DURABLE': [Kill(INDEX_FILES, '^P1_no_index_file')],
    'LOG_INDEX_NOT_SYNCED': [Kill(INDEX_FILES, '^a_failure_to_write')],
    'LOG_INDEX_SKIP_DIRECTORY_SYNC': [Kill(INDEX_FILES, '^L19_')],
    'LOG_READ_AHEAD_KEPT': [Kill('test_log_read_ahead', '^what_was_truncated')],
    'LOG_READ_AHEAD_SECOND_KEPT': [Kill('test_log_read_ahead', '^of_two_windows')],
    'LOG_READ_AHEAD_GAP': [Kill('test_log_iterator_model', '^limits_and_sizes')],
    'LOG_SPARE_AT_ONCE': [Kill('test_log_pool', '^a_file_to_come')],
    'LOG_INDEX_AT_ONCE': [Kill(MARGINS, '^a_small_segment'), Kill(SEAMS, '^no_index_file_is')],
    'LOG_INDEX_IN_ONE_STEP': [Kill(MARGINS, '^no_step_of')],
    'LOG_CHUNK_BESIDE_APPENDS': [Kill(MARGINS, '^the_next_chunk_of_the_cache')],
    'LOG_COLLECT_EAGERLY': [Kill(MARGINS, '^entries_are_moved')],
    'LOG_COLLECT_GUESS_BELIEVED': [Kill(COLLECT_CRASH, '^a_bad_record_that_nobody_needs')],
    'LOG_LOST_LIFE_UNTOLD': [Kill('test_log_lost_history', '^H3_lost_frames_of_any_history')],
    'LOG_DRIVER_STAYS_AWAKE': [Kill('test_log_alone', '^who_drives_and_')],
    'LOG_COLLECT_DAMAGE_UNTOLD': [Kill(COLLECT_CRASH, '^P2_damage_that_collection_meets')],
    'EMBED_STATE_NOT_EXCHANGED': [Kill('test_embed_sim', '^an_embedders_machine')],
    'LOG_INDEX_SLOT_BELIEVED': [Kill(INDEX_FILES, '^L50_')],
    'LOG_INDEX_TABLES_UNCHECKED': [Kill(INDEX_FILES, '^L50_')],
}

# Found by waiting for what the bug prevents, for a minute: they begin first, so that nobody waits for them at the end.
FIRST = ('LOG_DRIVER_STAYS_AWAKE',)


def failed_tests(done):
    """Names of failed cmocka tests; of a program that died, the test that was running."""
    text = done.stdout + done.stderr
    names = re.findall(r'^\[  FAILED  \] (\w+)$', text, re.MULTILINE)
    running = re.findall(r'^\[ RUN      \] (\w+)$', text, re.MULTILINE)
    finished = re.findall(r'^\[ +(?:OK|FAILED) +\] (\w+)$', text, re.MULTILINE)
    if running and running[-1] not in finished:
        names.append(running[-1])
    return names


def mutations():
    """[(name, text)] of the header."""
    header = (ROOT / 'src' / 'base' / 'mutation.h').read_text(encoding='utf-8')
    return re.findall(r'^\s*X\((\w+),\s*"((?:[^"\\]|\\.)*)"\)', header, re.MULTILINE)


def execute(build, command, only, mutation=None):
    environment = {key: value for key, value in os.environ.items() if key not in ('HOLDFAST_MUTATION', 'HOLDFAST_TEST_FILTER')}
    environment['HOLDFAST_TEST_SCALE'] = 'small'
    if only is not None:
        environment['HOLDFAST_TEST_FILTER'] = only
    if mutation is not None:
        environment['HOLDFAST_MUTATION'] = mutation
    arguments = [str(build / command[0]), *command[1:]]
    started = time.monotonic()
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, errors='replace', cwd=build, env=environment,
                              timeout=TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired as expired:
        # A test that hangs under a mutation found it; without one it is a failure like any other.
        def text(data):
            return (data or b'').decode(errors='replace')
        done = subprocess.CompletedProcess(arguments, -1, text(expired.stdout), text(expired.stderr))
    return done, time.monotonic() - started


class Run:
    def __init__(self, build):
        self.build = build
        self.baselines = {}  # (command, filter): [lock, known, what is wrong]
        self.lock = threading.Lock()

    def baseline(self, test):
        """None when the test passes without a mutation, else why not. Who asks first finds out; others wait for that."""
        command, only = key = test.baseline(), test.filter
        with self.lock:
            entry = self.baselines.setdefault(key, [threading.Lock(), False, None])
        with entry[0]:
            if not entry[1]:
                entry[1:] = True, self.baseline_trouble(command, only)
        return entry[2]

    def baseline_trouble(self, command, only):
        if not (self.build / command[0]).is_file():
            return f'{command[0]} is not in {self.build}'
        done, _ = execute(self.build, command, only)
        trouble = ', '.join(failed_tests(done)) or f'exit code {done.returncode}'
        return None if done.returncode == 0 else f'{" ".join(command)} fails without a mutation: {trouble}'

    def mutation(self, name):
        """(verdict, killing test or reason, seconds)"""
        tests = TESTS.get(name, [])
        if not tests:
            return 'NO TEST', 'no row in scripts/mutants.py', 0
        total = 0
        reasons = []
        for test in tests:
            trouble = self.baseline(test)
            if trouble is not None:
                return 'BROKEN', trouble, total
            done, seconds = execute(self.build, test.command(name), test.filter, name if isinstance(test, Kill) else None)
            total += seconds
            found = test.judge(done)
            if found is not None:
                return 'killed', found, total
            others = failed_tests(done)
            reasons.append(f'{" ".join(test.command(name))}: '
                           + (f'only {", ".join(others)} failed' if others else f'exit code {done.returncode}'))
        return 'SURVIVED', '; '.join(reasons), total


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('build', nargs='?', default=ROOT / 'build' / 'mutants', type=pathlib.Path)
    parser.add_argument('--only', type=lambda text: text.split(','), help='these mutations')
    parser.add_argument('--jobs', type=int, default=os.cpu_count(), help='so many at once (default: one per core)')
    parser.add_argument('--list', action='store_true', help='print the table and run nothing')
    parser.add_argument('--programs', action='store_true', help='print the test programs that are needed')
    options = parser.parse_args(arguments)
    if options.programs:
        print(' '.join(sorted({test.command(name)[0] for name, tests in TESTS.items() for test in tests})))
        return 0
    known = mutations()
    names = [name for name, _ in known]
    for name in [*TESTS, *FIRST, *(options.only or [])]:
        if name not in names:
            raise SystemExit(f"error: src/base/mutation.h has no mutation '{name}'")
    run = Run(options.build.resolve())
    survivors = 0
    width = max(map(len, names))
    wanted = [(name, text) for name, text in known if not options.only or name in options.only]
    if options.list:
        for name, _ in wanted:
            print(f'{name:{width}}  {"; ".join(" ".join(test.command(name)) for test in TESTS.get(name, [])) or "-"}')
        return 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        runs = {name: pool.submit(run.mutation, name) for name, _ in sorted(wanted, key=lambda row: row[0] not in FIRST)}
        for name, text in wanted:
            verdict, found, seconds = runs[name].result()
            survivors += verdict != 'killed'
            more = '' if verdict == 'killed' else f'\n    {text}'
            print(f'{name:{width}}  {verdict:8}  {seconds:6.1f} s  {found}{more}', flush=True)
    print(f'{survivors} mutations were not found' if survivors else 'every mutation was found')
    return 1 if survivors else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
