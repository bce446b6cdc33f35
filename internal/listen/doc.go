// Package listen is how the daemon listens: the one construction of every listener of it. A listener has a limit of
// connections, takes a failing accept for what it is (a shortage that passes), and its HTTP server has a deadline for
// each thing that a client may be slow at. So nobody who may connect can end the daemon, take its file descriptors or
// fill its memory.
package listen
