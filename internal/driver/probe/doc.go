// Package probe finds out what a node has: kernel facilities by using them in a network namespace of its own that
// is thrown away, settings, links, other programs. It judges nothing and leaves nothing behind; the doctor reads
// its facts.
package probe
