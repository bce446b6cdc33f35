package intent

import (
	"fmt"
	"strings"
)

// Pool is what the leader tells of an AddressPool.
type Pool struct {
	Name       string
	Generation int64  // of the object that it is about
	V4, V6     *Usage // nil: the pool has no address of the family
	Conflict   string // older pools that have some of its addresses; empty: none
	Exhausted  string // the families in which nothing is left; empty: none
	Idle       string // why it gives no address; empty: it does
}

// Usage counts the addresses of one family of a pool. More than an int64 holds is told as the largest one.
type Usage struct{ Total, Assigned, Available int64 }

// String prints "pool a: 3 of 254 IPv4".
func (p Pool) String() string {
	var parts []string
	for _, f := range []struct {
		name string
		of   *Usage
	}{{"IPv4", p.V4}, {"IPv6", p.V6}} {
		if f.of != nil {
			parts = append(parts, fmt.Sprintf("%d of %d %s free", f.of.Available, f.of.Total, f.name))
		}
	}
	for _, why := range []string{p.Conflict, p.Idle} {
		if why != "" {
			parts = append(parts, why)
		}
	}
	return "pool " + p.Name + ": " + strings.Join(parts, ", ")
}
