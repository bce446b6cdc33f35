// Package agent wires the rooms together: sources into the inbox, the thinking loop from model to rows,
// and the lanes that carry the rows to the kernel.
//
// One goroutine thinks: it alone touches the model, the planners and the intents. What arrives while it is
// busy waits in the inbox and is taken together the next time; nothing is delayed on purpose. No lane
// starts before every source has given its first whole picture and the first plan is complete; until then
// the kernel goes on with what an earlier life left in it.
package agent
