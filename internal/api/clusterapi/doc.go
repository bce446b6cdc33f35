// Package clusterapi is the API of ClusterNetworkPolicy (policy.networking.k8s.io, versions v1beta1 and v1alpha2, whose schemas are the
// same) as Go types: those of its project would bring controller-runtime along. What a rule holds that these types don't
// know is kept by name, since a rule must fail closed then.
package clusterapi
