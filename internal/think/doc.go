// Package think is the one goroutine that holds the model: the inbox that sources fill, the turns that bring news into the
// model, and the table of what a change makes which stage plan anew (flow.go). What a stage plans, and where its rows go, is
// the wiring's.
//
// What arrives while it is busy waits in the inbox and is taken together the next time; nothing is delayed on purpose. A turn
// has a bound (decision 0068), and a panic in planning one unit leaves that unit's claims as they were.
package think
