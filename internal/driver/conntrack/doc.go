// Package conntrack is the driver of the kernel's table of flows. It writes nothing there and deletes what a
// front's row no longer allows: UDP and SCTP flows to an endpoint that has gone, or that began before the
// front was served. It also lists and cuts single flows for whoever must end them.
package conntrack
