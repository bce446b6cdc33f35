// Package show is how people and programs look into a running kube-router: views over a unix socket,
// health and metrics over HTTP. It reads what the other rooms hold and changes nothing.
//
// A view is a page with columns for people and data for programs. Both are made in the daemon from the
// same values; the command `kube-router show` only prints them.
package show
