/* Planted bugs. Each name below stands for a rule that somebody could forget; tests switch it on and must then fail.
 * In every normal build MUTATED() is the constant 0 and the compiler drops the branch; only builds made with
 * -DHF_MUTATIONS (build/mutants) carry the switches. A row per mutation: name, the promise, hazard or guard it breaks.
 */
#ifndef BASE_MUTATION_H
#define BASE_MUTATION_H

#define MUTATION_LIST(X)                                                                          \
    X(GUARD_A, "A: an AppendEntries is not split at RAFT_CHANGE")                                 \
    X(GUARD_B, "B: a single voter elects itself in the same term")                                \
    X(GUARD_C, "C: a stale non-voter refuses to vote")                                            \
    X(GUARD_D, "D: an AppendEntries below the compacted log is not re-anchored")                  \
    X(GUARD_E, "E: messages of an old connection are delivered")                                  \
    X(GUARD_F, "F: a stand-by keeps its forgotten leader")                                        \
    X(GUARD_G, "G: two membership changes are not told apart")                                    \
    X(GUARD_H, "H: a stale AppendEntries is answered as if it had succeeded")                     \
    X(GUARD_I, "I: the core hears vote results that are not its election's")                      \
    X(GUARD_J, "J: TimeoutNow is sent before the transferee has caught up")                       \
    X(GUARD_K, "K: a refused pre-vote hides the newer term")                                      \
    X(GUARD_M, "M: who loses its vote to a single other one does not stand any more")             \
    X(GUARD_L, "L: a follower's commit index goes back")                                          \
    X(RULE_1_MESSAGE_BEFORE_VOTE, "rule 1: a message leaves before term and vote are durable")    \
    X(RULE_3_TRUNCATED_REPORTED, "rule 3: truncated entries are reported as persisted")           \
    X(RULE_4_COMMIT_NOT_CLAMPED, "rule 4: a commit index beyond the durable log is persisted")    \
    X(RULE_16_CONFIGURATION_NOT_FED, "rule 16: CONFIGURATION is not fed on restart")              \
    X(SNAPSHOT_COMPACTS_TO_THE_NEWEST, "the log is dropped up to the newest snapshot")            \
    X(SNAPSHOT_TAKES_NO_TURNS, "the first group that is due is always the next one")              \
    X(SNAPSHOT_SPAN_FORGOTTEN, "the log between two snapshots counts for nothing")                \
    X(SNAPSHOT_RECORDS_ARE_FREE, "what a record takes beside its payload counts for nothing")     \
    X(SNAPSHOT_OLDER_HANDED_OUT, "P2: an older one is copied when the newest is damaged")         \
    X(SNAPSHOTS_LOST_FOR_GOOD, "H8: a group whose snapshots are damaged waits for nobody")        \
    X(SNAPSHOT_BEYOND_DURABLE, "rule 4: a snapshot covers what is not durable here")              \
    X(SNAPSHOT_OF_AN_OLDER_LEADER, "an install is fed in a term before its offer")                \
    X(SNAPSHOT_REPORTED_BEFORE_IMPORT, "H7: reported before the state is taken in")               \
    X(SNAPSHOT_IMPORTED_BEFORE_RESET, "H7: taken in before the reset is durable")                 \
    X(RECOVER_BY_LENGTH_ALONE, "recover: the longest log is taken, whatever its terms")           \
    X(RECOVER_DROPS_UNCOMMITTED, "recover: what is not known to be committed is left out")        \
    X(RECOVER_IDENTITY_FIRST, "recover: the directory can be opened before it is whole")          \
    X(WIPED_NODE_ADMITTED, "H18: a wiped node is admitted under its old identity")                \
    X(PROMOTED_BEFORE_CAUGHT_UP, "H14: a stand-by votes before it has caught up")                 \
    X(FORGOTTEN_UNCONFIRMED, "members: forgotten by what one node's replicas happen to know")     \
    X(CHANGE_OF_TWO, "H14: a change that touches two members is accepted")                        \
    X(ADDRESS_NOT_CHECKED, "members: nobody is called at a new address")                          \
    X(MEMBERS_NOT_TOLD, "members: only the system group says who they are")                       \
    X(LEADS_UNTIL_CLOCKS_AGREE, "H14: a leader that leaves waits for a fit clock")                \
    X(READ_WITHOUT_ROUND, "P3: a leader answers a read without asking the voters")                \
    X(READ_BEFORE_OWN_TERM, "P3: a read index is given before an entry of the term commits")      \
    X(LOG_ACK_BEFORE_DURABLE, "P1: the log acknowledges when a write was submitted")              \
    X(LOG_ACK_OUT_OF_ORDER, "P1: a later write is acknowledged before an earlier one")            \
    X(LOG_SKIP_SYNC, "P1: a write is not made durable")                                           \
    X(LOG_REPAIR_TERM_UNCHECKED, "H3: an entry of another term takes a lost one's place")         \
    X(LOG_REPAIR_HALF_IS_WHOLE, "H3: a group is whole before all that was lost is back")          \
    X(REPAIR_UNCOMMITTED, "H3: a lost entry is repaired with one that is not committed")          \
    X(LOG_SKIP_DIRECTORY_SYNC, "H4: a new segment's directory entry is not synced")               \
    X(LOG_RETRY_AFTER_SYNC_ERROR, "H1: the log goes on after a failed sync")                      \
    X(LOG_CHECKSUM_NOT_SEEDED, "H17: record checksums are not bound to their position")           \
    X(LOG_TORN_IS_KEPT, "H2/48: a torn batch is partly kept")                                     \
    X(LOG_DAMAGE_IS_TORN, "H3: damage below a declared position is cut off silently")             \
    X(LOG_VOTE_LOST, "H9: hard state is not written")                                             \
    X(LOG_STALL_NOT_TOLD, "a leader on a stalled log is not told, and goes on leading")           \
    X(LOG_TAIL_NOT_COPIED, "open goes on without rewriting the tail that was never declared")     \
    X(LOG_STALE_ACCEPTED, "L51: a frame of the file's earlier life is taken")                     \
    X(LOG_DECLARED_TOO_FAR, "L48: a trailer declares what is only written")                       \
    X(LOG_MISSING_IGNORED, "L50: the log begins where its oldest file happens to begin")          \
    X(LOG_RUN_BY_CHECK_ALONE, "records go under the run of another group with the same check")    \
    X(LOG_HOLE_OF_ONE_GROUP, "H3: one group alone is suspected of what an unreadable place held") \
    X(LOG_OPENING_BELIEVED, "H3: what a bad append says of its run is taken unchecked")           \
    X(LOG_OPENING_CUT_SHORT, "an entry that opens its run is read without its end")               \
    X(LOG_RUNS_NOT_COUNTED, "L50: nobody notices that records of a group are missing")            \
    X(LOG_SEGMENT_NOT_SYNCED, "L15: a segment gets its name before it is durable")                \
    X(LOG_READ_UNVERIFIED, "L33: a read gives back what fails its checksum")                      \
    X(LOG_TRUNCATION_FORGOTTEN, "L36: a truncation is not written")                               \
    X(LOG_FLOOR_FORGOTTEN, "L40, L42: a compaction or a reset is not written")                    \
    X(LOG_REMOVAL_FORGOTTEN, "L45: the removal of a group is not written")                        \
    X(LOG_GAP_ACCEPTED, "L2: an entry need not follow the last")                                  \
    X(LOG_FLOOR_OVERWRITTEN, "L5: a truncation may reach below the floor")                        \
    X(LOG_TERM_DECREASES, "L11: a term below its predecessor's is taken")                         \
    X(LOG_NOT_LOCKED, "L58: two processes may write the same log")                                \
    X(LOG_RELEASE_BEFORE_DURABLE, "L57: a segment goes before what replaced it is durable")       \
    X(LOG_UNLINK_BEFORE_DECLARED, "L57: a segment goes before a durable trailer says so")         \
    X(LOG_MOVED_OVERWRITES, "L57: an old copy is moved over what replaced the entry")             \
    X(LOG_STATE_NOT_MOVED, "L57: collection forgets hard state")                                  \
    X(LOG_FLOOR_NOT_MOVED, "L40: collection forgets the floor")                                   \
    X(LOG_REMOVAL_NOT_MOVED, "L45: collection forgets that a group was removed")                  \
    X(REJOIN_VOTES, "P1: a member votes though it may have lost what it acknowledged")            \
    X(REJOIN_ENDS_EARLY, "P1: a member votes again as soon as a leader has answered")             \
    X(RELAXED_LOSS_OVERLOOKED, "P1: a node whose power went takes itself for whole")              \
    X(RELAXED_OPEN_BELIEVED, "P1: the kernel still has what an open could not write")             \
    X(REJOIN_NOT_SENT_AGAIN, "P1: nobody sends again what a member lost")                         \
    X(REJOIN_ANSWER_UNASKED, "P1: an answer to an earlier process says what a member lacks")      \
    X(LOG_STATES_PASSED_OVER, "L57: collection passes over groups when others come")              \
    X(LOG_UNSURE_NAME_FOLLOWED, "H4: an open goes on behind a name that may not be durable")      \
    X(LOG_RECYCLED_NOT_SYNCED, "L51: a recycled file is named before its header is durable")      \
    X(LOG_LEFT_OVER_BELIEVED, "L57: a file below the declared oldest is part of the log")         \
    X(LOG_INDEX_STALE_ACCEPTED, "L51: an index file of an earlier life is believed")              \
    X(LOG_INDEX_BEFORE_DURABLE, "P1: a segment is indexed before it is durable")                  \
    X(LOG_INDEX_NOT_SYNCED, "L44: an index file is named before it is durable")                   \
    X(LOG_INDEX_SKIP_DIRECTORY_SYNC, "L19: an index counts before its name does")                 \
    X(LOG_READ_AHEAD_KEPT, "L36: what was read ahead survives a truncation")                      \
    X(LOG_READ_AHEAD_SECOND_KEPT, "L36: the second window read ahead survives a truncation")      \
    X(LOG_READ_AHEAD_GAP, "a window read ahead is taken for the one before it")                   \
    X(LOG_SPARE_AT_ONCE, "the device writes zeros for a file to come in one go")                  \
    X(LOG_INDEX_AT_ONCE, "index files are made for segments that may soon be given up")           \
    X(LOG_INDEX_IN_ONE_STEP, "an index file is made in one step, however large the segment")      \
    X(LOG_CHUNK_BESIDE_APPENDS, "the cache's next chunk is cleared as urgently as a write")       \
    X(LOG_COLLECT_EAGERLY, "entries are moved that the next compaction would have dropped")       \
    X(LOG_COLLECT_DAMAGE_UNTOLD, "P2: damage that collection meets is told to nobody")            \
    X(LOG_COLLECT_GUESS_BELIEVED, "collection closes a group for an entry that is whole")         \
    X(LOG_LOST_LIFE_UNTOLD, "P2: a group that was removed has no later life that may be lost")    \
    X(LOG_DRIVER_STAYS_AWAKE, "who drives and waited is not woken by others")                     \
    X(EMBED_STATE_NOT_EXCHANGED, "H7: a loaded state does not take the machine's place")          \
    X(LOG_INDEX_SLOT_BELIEVED, "L33: an entry is not verified against its slot")                  \
    X(LOG_INDEX_TABLES_UNCHECKED, "L50: tables are used whatever their checksum")                 \
    X(SNAPSHOT_SKIP_DIRECTORY_SYNC, "H4: the name of a published snapshot is not synced")         \
    X(SNAPSHOT_PUBLISH_BEFORE_SYNC, "H8: a snapshot gets its name before it is synced")           \
    X(SNAPSHOT_CHUNK_NOT_BOUND, "H17: a chunk's checksum is not bound to its number")             \
    X(SNAPSHOT_PARTIAL_LISTED, "H8: a snapshot is written under its final name")                  \
    X(SNAPSHOT_RECEIVED_IS_LATEST, "H7: a received file that no reset names is used")             \
    X(SNAPSHOT_RESUMED_FROM_CACHE, "H1: a receiver believes what a failed sync dropped")          \
    X(SNAPSHOT_DIGEST_UNCHECKED, "H8: the digest of the whole is not compared")

enum mutation {
#define MUTATION_ENUM(name, text) MUTATION_##name,
    MUTATION_LIST(MUTATION_ENUM)
#undef MUTATION_ENUM
        MUTATION_COUNT
};

#ifdef HF_MUTATIONS
extern int mutation_switches[MUTATION_COUNT];
#define MUTATED(name) (mutation_switches[MUTATION_##name])
/* Switches one on by its name as written above ("GUARD_A"); returns 0, or HF_ENOTFOUND. */
int mutation_enable(const char *name);
#else
#define MUTATED(name) (0)
#endif

const char *mutation_name(enum mutation mutation);
const char *mutation_text(enum mutation mutation);

#endif
