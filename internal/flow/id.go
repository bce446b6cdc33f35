package flow

import (
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"strings"
)

// uuid tells a flow from any other, on whatever node: its time, and a digest of the rest. No identifier is given out, and whether a flow has one is seen
// by its time nearly always.
func (f *Flow) uuid() string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %d %d %s %s", f.ID, f.Reason, f.Protocol, f.Src, f.Dst)
	t, d := uint64(f.Time.UnixNano()), h.Sum64()
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", t>>32, t>>16&0xffff, t&0xffff, d>>48, d&0xffffffffffff)
}

// is tells whether a flow has an identifier.
func (f *Flow) is(id string) bool {
	b, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil || len(b) != 16 {
		return false
	}
	t := uint64(0)
	for _, x := range b[:8] {
		t = t<<8 | uint64(x)
	}
	return uint64(f.Time.UnixNano()) == t && f.uuid() == strings.ToLower(id)
}
