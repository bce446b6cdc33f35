// Package intent is the second noun of the picture: what the network should do, in no kernel's words.
//
// Planners make intents from the model; renderers turn them into rows. Everything semantic is decided
// before an intent exists: an intent says which backends answer, not which are ready. Intents are
// pointers to values that are never changed. The package imports the standard library only.
package intent
