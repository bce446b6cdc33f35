// Package row is the third noun of the picture: every kind of thing that we write to the outside world.
//
// A row is a comparable value with a key. It prints itself in the syntax of the tool that would show it
// (ip route, ipvsadm, nft), and that text is the log line, the line of `kube-router show` and the golden
// test. The package imports the standard library only.
package row

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A Row is one thing in one table of the outside world. R itself may be an interface type whose dynamic
// types are all comparable, where one table holds several kinds of rows.
type Row[K comparable] interface {
	comparable
	Key() K
	String() string
}

// Change is the wish to turn Old into New at Key. Old nil: make it; New nil: remove it.
type Change[K comparable, R any] struct {
	Key      K
	Old, New *R
}

// String prints "+ new", "- old" or "~ new".
func (c Change[K, R]) String() string {
	switch {
	case c.Old == nil && c.New == nil:
		return "="
	case c.Old == nil:
		return fmt.Sprintf("+ %v", *c.New)
	case c.New == nil:
		return fmt.Sprintf("- %v", *c.Old)
	}
	return fmt.Sprintf("~ %v", *c.New)
}

// A Target is one table of the outside world, holding rows that are ours.
//
// Dump returns only rows that we made, recognised without memory. Apply makes the changes, in whatever
// order and grouping is right for the facility (make before break). It must be idempotent: a row that is
// there already is made, a row that is gone already is removed. It returns Failed for some rows, or any
// other error when nothing is known about any of them.
type Target[K comparable, R any] interface {
	Dump(context.Context) (map[K]R, error)
	Apply(context.Context, []Change[K, R]) error
}

// Failed are the rows that could not be applied, each with its error. The others were.
type Failed[K comparable] map[K]error

// Error lists the failures in a stable order.
func (f Failed[K]) Error() string {
	var lines []string
	for k, err := range f {
		lines = append(lines, fmt.Sprintf("%v: %v", k, err))
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

// Unwrap gives the errors to errors.Is.
func (f Failed[K]) Unwrap() []error {
	errs := make([]error, 0, len(f))
	for _, err := range f {
		errs = append(errs, err)
	}
	return errs
}

// Foreign is the error of a row that can't be because of something that isn't ours and stays: somebody else's in its
// place, or a next hop that the kernel takes for none. The lane tries again as ever, but no restart of the daemon
// would help, so the row doesn't count against its health.
type Foreign struct {
	Err   error
	Taken bool // somebody else's stands in its place, and may do its work
}

// Error is that of the cause.
func (f Foreign) Error() string { return f.Err.Error() }

// Unwrap gives the cause to errors.Is.
func (f Foreign) Unwrap() error { return f.Err }

// Later is the error of a row whose removal has begun and takes time (graceful termination of an IPVS
// destination). The lane asks again without counting it as failing.
type Later struct{ Reason string }

// Error tells what is waited for.
func (l Later) Error() string { return "later: " + l.Reason }
