package model

import "net/netip"

// Attachment is a pod's interface that a CNI ADD has just made on this node. It tells a pod's addresses
// before the API does, and more reliably: of two pods with one address the attached one has it.
type Attachment struct {
	Container string       `json:"container"` // CNI_CONTAINERID, the sandbox
	Ifname    string       `json:"ifname"`    // CNI_IFNAME, within the pod
	Netns     string       `json:"netns"`     // path of the pod's network namespace
	Pod       Name         `json:"pod"`
	UID       string       `json:"uid,omitempty"` // of the Pod, where the runtime tells it
	Addrs     []netip.Addr `json:"addrs"`
}

// Ref names the attachment as CNI does, by container and interface.
func (a *Attachment) Ref() Ref { return Ref{KindAttachment, Name{a.Container, a.Ifname}} }

// AttachVerb is what kube-router-cni asks of the daemon: one JSON AttachRequest per connection to the CNI
// socket, answered by one AttachReply.
type AttachVerb string

// The verbs, named as in the CNI specification 1.1.
const (
	AttachAdd    AttachVerb = "ADD"    // answered when the pod's policy is in the kernel
	AttachDel    AttachVerb = "DEL"    // the interface goes
	AttachCheck  AttachVerb = "CHECK"  // is the pod's policy in the kernel?
	AttachStatus AttachVerb = "STATUS" // could an ADD work now?
	AttachGC     AttachVerb = "GC"     // these interfaces are all there are
)

// AttachRequest is the question.
type AttachRequest struct {
	Verb       AttachVerb  `json:"verb"`
	Attachment *Attachment `json:"attachment,omitempty"` // of ADD, DEL and CHECK
	Valid      []Name      `json:"valid,omitempty"`      // of GC: container and interface of those that live
}

// AttachReply is the answer; an empty Error is success.
type AttachReply struct {
	Error string `json:"error,omitempty"`
}
