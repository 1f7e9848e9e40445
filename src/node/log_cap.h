/* How many entries the log of a group may hold (snapshot.entries_max).
 *
 * A snapshot is due at the latest every quarter of it, and a log reaches back to its second newest snapshot: below half
 * of the cap everything is as usual. Above three quarters a member that is fetching a snapshot no longer holds the log
 * back; it fetches a newer one. At the cap, while snapshots fail, the group's leader refuses commands with HF_ENOSPACE
 * before they are proposed, until a snapshot succeeded. Snapshots that succeed but take long may let the log grow to
 * four times the cap; there writes are refused in any case. Nothing that is in the log is lost meanwhile, members go on
 * appending what their leader sends, and reads are answered. Status, INFO, metrics and the trace say so.
 *
 * The count is taken a few times a second: a log may be above its cap by what is proposed in that time. The system
 * group has none: members must come and go also then. Thread: the loop's. */
#ifndef NODE_LOG_CAP_H
#define NODE_LOG_CAP_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_CAP_ENTRIES_DEFAULT 1000000u
#define LOG_CAP_TRAIL_PARTS     8u /* snapshot.trail takes no more than this part of it */
#define LOG_CAP_SLOW_TIMES      4u /* the cap where no snapshot fails */
#define LOG_CAP_DUE_PARTS       4u /* after this part of it a snapshot is due */

struct node;
struct hosted_group;

/* Counts the entries of every group, and says what changed. */
void log_cap_measure(struct node *node);
/* The members that fetch must not hold the log back any longer. */
bool log_cap_is_near(const struct hosted_group *group);
/* 0, or HF_ENOSPACE with a text: of a group that is led here. */
int log_cap_check(const struct hosted_group *group);

#endif
