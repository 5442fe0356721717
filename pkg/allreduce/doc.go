// Package allreduce holds the collectives of a job: sums, maxima and gathers over V virtual ranks that W ≤ V workers own in contiguous
// runs. The workers form a ring; frames run to the right neighbour, acknowledgements to the left. Every result has the same bits for any
// W, any ownership and any order of arrival:
//
//   - sums are made in block fixed point: a block of 128 elements has one exponent, agreed by a maximum over all virtual ranks; each
//     virtual rank's values are rounded once to int32 with log₂V bits of headroom; integers add up alike in any order;
//   - maxima and gathers are order-independent by nature.
//
// A reduction is a ring reduce-scatter and a ring all-gather (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of
// workstations", JPDC 2009), cut into frames that are passed on as they arrive. A GradientSum begins while its summands are computed, and goes on
// with what is finished.
//
// Under the collectives lies a link: numbered frames with a checksum, a credit window, resending from the first unacknowledged frame,
// keepalives. It makes a lossy Transport (core NATS promises at most one delivery) reliable and tells a dead peer from a slow one.
package allreduce
