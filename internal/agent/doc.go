// Package agent wires the rooms together: sources into the inbox, what each stage of thinking plans on to rows, and the
// lanes that carry the rows to the kernel.
//
// No lane starts before every source has given its first whole picture and the first plan is complete; until then the
// kernel goes on with what an earlier life left in it.
package agent
