// Package kube watches the Kubernetes API and turns its objects into model values: the first verb of the
// picture, and the only reader of client-go.
//
// An object is converted the moment it is decoded and then dropped; the model is the only cache. What
// can't be used becomes a remark on the model value, never an error: the rest of the object goes on
// working. Every kube-router.io annotation is parsed in this package (annotations*.go).
//
// Nothing here retries on its own: client-go's Reflector lists, watches, resumes after a broken
// connection and lists again after "410 Gone". An API server that is away is a state, not an error.
package kube
