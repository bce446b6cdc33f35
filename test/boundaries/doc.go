// Package boundaries shows with packets that nobody gets what isn't theirs: each test makes an attack, which must fail, and
// lets the rightful packet pass beside it. It runs the real program on every node of a lab: `make test-boundaries`.
package boundaries
