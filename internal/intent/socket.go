package intent

import "strconv"

// SocketSpace is a network namespace whose sockets are served at connect(), before there is a packet.
type SocketSpace struct {
	Cookie uint64 // of SO_NETNS_COOKIE (Linux 5.14)
	Pod    string // "namespace/name"; empty: the node itself
}

// Key is the cookie.
func (s SocketSpace) Key() uint64 { return s.Cookie }

// String prints "sockets of default/web (network namespace 4711)".
func (s SocketSpace) String() string {
	who := s.Pod
	if who == "" {
		who = "the node"
	}
	return "sockets of " + who + " (network namespace " + strconv.FormatUint(s.Cookie, 10) + ")"
}
