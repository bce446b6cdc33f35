// Package cni is the source of attachments: it answers kube-router-cni on a unix socket, tells the model of
// the interfaces that pods get, and keeps the plugin waiting until the pod's policy is in the kernel.
//
// What was told outlives the daemon in one small file per interface beside the socket, on a file system that
// does not outlive the node's run: a daemon that starts knows the addresses of pods whose status the API has
// not heard yet.
package cni
