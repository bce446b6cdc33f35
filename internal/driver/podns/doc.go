// Package podns is the driver of what direct server return needs inside pods: a tunnel link that unpacks what
// IPVS sends, the Service's address on it, and no check of the way back. It works in the network namespaces of
// others, so it touches its two links there, by name, and nothing else.
//
// A pod's namespace is found by what the container runtime left on disk: libcni's cache of results names
// namespace and pod. Where that is missing the named namespaces are looked through for the pod's address, and at
// last the runtime is asked (CRI), if the operator named its socket. Whatever is found must have the pod's
// address, since a cache may be stale.
package podns
