// Package observe keeps what was seen of the traffic of this node: flows from connection tracking and what rules of ours ended, each with the names
// that its ends had at that moment, in rings that are as long as they may be. It only reads: forwarding never waits for it, and what
// it can't keep up with it counts.
package observe
