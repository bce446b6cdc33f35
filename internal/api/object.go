// Package api holds the objects of the project's own API group, kube-router.io/v1alpha1, as users write them: the specs and statuses of
// its kinds, all of which belong to the cluster and to no namespace. The manifests that make the API server know and check them lie in
// deploy/crds; decision 0130 says why there is no generator.
package api

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of our kinds.
const Group = "kube-router.io"

// Version is the group and version that the daemon reads and writes.
var Version = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

// Object is an object of any of our kinds: S is its spec and T its status.
type Object[S, T any] struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              S `json:"spec"`
	Status            T `json:"status,omitzero"`
}

// DeepCopyObject implements runtime.Object. It goes by way of JSON: nobody copies objects but client-go, and that seldom.
func (o *Object[S, T]) DeepCopyObject() runtime.Object {
	to := &Object[S, T]{}
	if raw, err := json.Marshal(o); err == nil {
		_ = json.Unmarshal(raw, to) // it was one before
	}
	return to
}

// Raw is an object whose spec and status nobody has looked at. Lists are read as such, so that one object that doesn't fit its type harms
// no other.
type Raw = Object[json.RawMessage, json.RawMessage]

// RawList is a list of such objects.
type RawList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []Raw `json:"items"`
}

// DeepCopyObject implements runtime.Object.
func (l *RawList) DeepCopyObject() runtime.Object {
	to := &RawList{}
	if raw, err := json.Marshal(l); err == nil {
		_ = json.Unmarshal(raw, to) // it was one before
	}
	return to
}

// Kind is the name of one of our kinds with that of its resource.
type Kind struct {
	Kind     string // AddressPool
	Resource string // addresspools, as in a path
}

// Kinds are all of our kinds, in the order in which they are explained to users.
func Kinds() []Kind {
	return []Kind{AddressPools, L2Advertisements, BGPPeers, BGPAdvertisements, EgressGateways, NodePolicies, PolicyStatuses}
}

// Register makes a scheme know our kinds, as Raw.
func Register(s *runtime.Scheme) error {
	for _, k := range Kinds() {
		s.AddKnownTypeWithName(Version.WithKind(k.Kind), &Raw{})
		s.AddKnownTypeWithName(Version.WithKind(k.Kind+"List"), &RawList{})
	}
	metav1.AddToGroupVersion(s, Version)
	return nil
}
