// Package podlink is what kube-router-cni makes of a pod's network where it is the only plugin (--cni-plugin=own): the address in
// host-local's store, the cable to the bridge, what is set inside the pod, and the limits of its bandwidth. The daemon shares it, to free at
// its start what nobody has any more. It knows neither Kubernetes nor policies.
//
// Nothing of a pod is there without a lease: it is written first and freed last, and the names of everything else follow from its
// owner. So whoever finds a lease whose owner is gone can take away all that an ADD made, however far that came.
package podlink
