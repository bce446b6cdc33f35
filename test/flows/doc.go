// Package flows shows by packets that `flows` tells who talked to whom and what was ended by whom, with the right names, and that what it can't
// keep up with is counted.
package flows
