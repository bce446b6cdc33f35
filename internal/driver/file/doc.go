// Package file writes row.Conflist, our part of the node's CNI configuration file. It is a row.Target.
//
// The file is shared with its user: plugins and keys that he added stay, in their order. A note of ours
// in it (a top-level key, which CNI runtimes ignore) says that we wrote it and what; that is how it is recognised
// later without memory. What was there before us is kept beside it under a name that no runtime reads, and
// comes back when the row goes.
package file
