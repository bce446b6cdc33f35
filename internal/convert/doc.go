// Package convert writes the objects of kube-router.io that say what others say: MetalLB's objects, and kube-router's own flags and annotations.
// It is pure: objects as the API server has them go in, a manifest comes out. What has no counterpart stands in it as a comment, so that nothing is lost
// unseen; where leaving it out would give or advertise more than was meant, the object is a comment as a whole. Passwords are named and never written.
package convert
