// Package flow is the noun for who talked to whom: one connection, or the beginning of one that was ended, with the names that its
// ends had then. It prints Hubble's compact line and writes a subset of Hubble's JSON, and knows nobody.
package flow
