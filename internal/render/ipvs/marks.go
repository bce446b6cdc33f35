package ipvs

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"slices"

	"kube-router/internal/intent"
)

// Side says which packets to a front a mark is for.
type Side uint8

// The sides of a front.
const (
	All  Side = iota // everybody's
	Near             // those of this node's pods and of the node, where they meet other endpoints than the rest
)

// MarkOwner is what has a mark: one side of a front.
type MarkOwner struct {
	intent.Front
	Side Side
}

// Compare orders owners; an earlier one gets the mark that both want.
func (o MarkOwner) Compare(p MarkOwner) int {
	return cmp.Or(o.Front.Compare(p.Front), cmp.Compare(o.Side, p.Side))
}

// maxMark is the highest mark: the lower 14 bits, as in the reference; others have other bits.
const maxMark = 1<<14 - 1

// Marks gives every owner a mark of its own, from 1 to 16383. A mark is a hash of its owner. Where two owners
// have the same hash the lesser keeps it and the other takes the next number that no lesser one has. So marks
// depend on who needs one now, not on who came first, and the same fronts get the same marks after a restart.
// Owners for whom no number is left get none.
func Marks(owners []MarkOwner) map[MarkOwner]uint32 {
	owners = slices.Clone(owners)
	slices.SortFunc(owners, MarkOwner.Compare)
	owners = slices.Compact(owners)
	marks := make(map[MarkOwner]uint32, len(owners))
	taken := make(map[uint32]bool, len(owners))
	for _, o := range owners {
		if len(taken) == maxMark {
			break
		}
		m := o.hash()
		for taken[m] {
			m = m%maxMark + 1
		}
		taken[m] = true
		marks[o] = m
	}
	return marks
}

// hash is from 1 to maxMark.
func (o MarkOwner) hash() uint32 {
	h := fnv.New32a()
	_, _ = h.Write(o.Addr.AsSlice())
	_, _ = h.Write(binary.BigEndian.AppendUint16(nil, o.Port))
	_, _ = h.Write([]byte{o.Protocol, byte(o.Side)})
	sum := h.Sum32()
	return (sum^sum>>14^sum>>28)%maxMark + 1
}
