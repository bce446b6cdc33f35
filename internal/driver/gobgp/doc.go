// Package gobgp drives the BGP speaker: a child process of ours that runs the GoBGP engine and nothing
// else, so that a panic or a hang on a hostile peer's message stops neither policies nor Services, and so
// that its sessions outlive a restart of the daemon. The daemon talks to it over gRPC on a unix socket.
//
// The package has three parts: the engine (what runs in the child), the supervisor (which starts, adopts,
// watches and replaces the child) and the driver, a row.Target of everything that the speaker holds.
//
// The speaker works in the network namespace of the process that starts it.
package gobgp
