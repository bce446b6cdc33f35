package row

import (
	"fmt"
	"strings"
)

// KubePolicy is what we write into the status of an object about policies: a KubePolicyVerdict, or the one KubePolicyReport.
type KubePolicy interface {
	Key() KubeObject
	String() string
	isKubePolicy()
}

// KubePolicyVerdict is what we write into the status of one policy.
type KubePolicyVerdict struct {
	Object     KubeObject
	Generation int64      // of the object that it is about
	Accepted   KubeReason // everything in it is understood
	InForce    KubeReason // no node tells that it isn't in force there
}

// Key is the policy.
func (r KubePolicyVerdict) Key() KubeObject { return r.Object }

// String prints the status in the words of kubectl.
func (r KubePolicyVerdict) String() string {
	text := fmt.Sprintf("%s %s generation %d", strings.ToLower(r.Object.Kind), r.Object.Name, r.Generation)
	for _, c := range []struct {
		name string
		KubeReason
	}{{"Accepted", r.Accepted}, {"InForce", r.InForce}} {
		text += fmt.Sprintf(" %s=%t", c.name, c.Is)
		if c.Why != "" {
			text += " (" + c.Why + ")"
		}
	}
	return text
}

func (KubePolicyVerdict) isKubePolicy() {}

// KubePolicyReport is what we write into the status of the PolicyStatus.
type KubePolicyReport struct {
	Object        KubeObject
	Nodes, Silent int64
	Lacking       string // a line for each policy that is not in force everywhere
}

// Key is the object.
func (r KubePolicyReport) Key() KubeObject { return r.Object }

// String prints the status in one line.
func (r KubePolicyReport) String() string {
	text := fmt.Sprintf("%s %s nodes=%d silent=%d", strings.ToLower(r.Object.Kind), r.Object.Name, r.Nodes, r.Silent)
	if r.Lacking != "" {
		text += " not in force: " + strings.ReplaceAll(r.Lacking, "\n", "; ")
	}
	return text
}

func (KubePolicyReport) isKubePolicy() {}

// KubePolicyStatus is the one PolicyStatus.
func KubePolicyStatus() KubeObject { return KubeObject{"PolicyStatus", "cluster"} }
