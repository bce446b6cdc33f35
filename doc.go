// Package kuberouter holds the house rules of kube-router as tests; see ARCHITECTURE.md. The program is
// cmd/kube-router.
package kuberouter
