// Package service is the verb between the model and intent.Service: which backends answer at which front.
//
// Everything that the Kubernetes API says about Services is decided here, once for both engines: fronts and
// their checks (front.go; whose a front is, package holder tells), endpoints joined from slices (endpoint.go), and who of them answers
// (choose.go), which is one pure function. Output depends on the current model alone.
package service
